"""python -m protos.openapi DESCRIPTOR_SET OPENAPI_JSON: makes the document."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from protos.openapi.document import description_of
from ringback.services.metrics.transport.methods import methods_of

SourcePath = tuple[int, ...]


def main(descriptor_set: Path, openapi: Path) -> None:
    """`descriptor_set`: the output of protoc --descriptor_set_out --include_source_info."""
    files = FileDescriptorSet.FromString(descriptor_set.read_bytes())
    description = description_of(methods_of(), comments_of(files))
    openapi.write_bytes(orjson.dumps(description, option=orjson.OPT_INDENT_2) + b"\n")


def comments_of(files: FileDescriptorSet) -> Mapping[str, str]:
    """Lines that belong together are joined; an empty line begins a paragraph."""
    return {name: text for file in files.file for name, text in _in_file(file) if text}


def _in_file(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    texts = {
        tuple(location.path): _paragraphs(location.leading_comments)
        for location in file.source_code_info.location
    }
    for path, name in _named(file):
        yield f"{file.package}.{name}", texts.get(path, "")


def _named(file: FileDescriptorProto) -> Iterator[tuple[SourcePath, str]]:
    """Paths are as google.protobuf.SourceCodeInfo counts them: field number, index, and so on."""
    for kind, member in (("message_type", "field"), ("enum_type", "value"), ("service", "method")):
        for index, one in enumerate(getattr(file, kind)):
            path = (_number(file, kind), index)
            yield path, one.name
            for inner, each in enumerate(getattr(one, member)):
                yield (*path, _number(one, member), inner), f"{one.name}.{each.name}"


def _number(message: Any, field: str) -> int:
    return int(message.DESCRIPTOR.fields_by_name[field].number)


def _paragraphs(comment: str) -> str:
    lines = [line.strip() for line in comment.strip().splitlines()]
    paragraphs = "\n".join(lines).split("\n\n")
    return "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
