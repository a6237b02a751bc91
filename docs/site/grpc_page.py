"""The contract as a page: `python -m docs.site.grpc_page DESCRIPTOR_SET PAGE`.

The descriptor set is the output of protoc --descriptor_set_out --include_source_info.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

from docs.site.openapi_page import cell
from docs.site.stage import MADE
from protos.openapi.__main__ import comments_of

PACKAGE = "ringback.metrics.v1"

_HEAD = f"""\
# The gRPC API

The package `{PACKAGE}`. [The metrics API](../metrics-api.md) explains the calls, and
[the contract](../../protos/README.md) how to generate a client."""


def grpc_page(files: FileDescriptorSet) -> str:
    ours = [file for file in files.file if file.package == PACKAGE]
    page = _Page(comments_of(files))
    lines = [_HEAD]
    for file in ours:
        for service in file.service:
            lines += ["", f"## {service.name}", "", *page.service(service)]
    lines += ["", "## Messages"]
    for file in ours:
        for message in file.message_type:
            lines += ["", f"### {message.name}", "", *page.message(message)]
    lines += ["", "## Enums"]
    for file in ours:
        for enum in file.enum_type:
            lines += ["", f"### {enum.name}", "", *page.enum(enum)]
    return MADE + "\n".join(lines) + "\n"


class _Page:
    def __init__(self, comments: Mapping[str, str]) -> None:
        self._comments = comments

    def _comment(self, *names: str) -> str:
        return self._comments.get(".".join([PACKAGE, *names]), "")

    def service(self, service: ServiceDescriptorProto) -> Iterator[str]:
        yield self._comment(service.name)
        for method in service.method:
            answer = "stream of " * method.server_streaming + _type(method.output_type)
            yield ""
            yield f"### {method.name}"
            yield ""
            yield f"{_type(method.input_type)} → {answer}"
            yield ""
            yield self._comment(service.name, method.name)

    def message(self, message: DescriptorProto) -> Iterator[str]:
        yield self._comment(message.name) or ("No fields." if not message.field else "")
        if not message.field:
            return
        yield ""
        yield "| number | field | type | what |"
        yield "|---|---|---|---|"
        for field in message.field:
            what = cell(self._comment(message.name, field.name))
            yield f"| {field.number} | `{field.name}` | {_field_type(message, field)} | {what} |"

    def enum(self, enum: EnumDescriptorProto) -> Iterator[str]:
        yield self._comment(enum.name)
        yield ""
        yield "| number | value | what |"
        yield "|---|---|---|"
        for value in enum.value:
            # Comments of values are named after the enum.
            what = cell(self._comment(enum.name, value.name))
            yield f"| {value.number} | `{value.name}` | {what} |"


def _field_type(message: DescriptorProto, field: FieldDescriptorProto) -> str:
    for entry in message.nested_type:
        if entry.options.map_entry and field.type_name.endswith(f".{message.name}.{entry.name}"):
            key, value = entry.field
            return f"map from {_scalar(key)} to {_scalar(value)}"
    repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
    return "list of " * repeated + _scalar(field)


def _scalar(field: FieldDescriptorProto) -> str:
    if field.type_name:
        return _type(field.type_name)
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def _type(name: str) -> str:
    package, _, short = name.removeprefix(".").rpartition(".")
    return f"[{short}](#{short.lower()})" if package == PACKAGE else f"`{package}.{short}`"


if __name__ == "__main__":
    descriptor_set, target = map(Path, sys.argv[1:])
    target.parent.mkdir(parents=True, exist_ok=True)
    made = grpc_page(FileDescriptorSet.FromString(descriptor_set.read_bytes()))
    target.write_text(made, encoding="utf-8")
