"""The comments of the contract, by the full names of what they describe."""

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

Path = tuple[int, ...]


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


def _named(file: FileDescriptorProto) -> Iterator[tuple[Path, str]]:
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
