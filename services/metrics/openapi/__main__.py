"""python -m services.metrics.openapi DESCRIPTOR_SET OPENAPI_JSON: makes the document."""

import sys
from pathlib import Path

import orjson
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from services.metrics.api.methods import methods_of
from services.metrics.openapi.comments import comments_of
from services.metrics.openapi.description import description_of


def main(descriptor_set: Path, openapi: Path) -> None:
    """`descriptor_set`: the output of protoc --descriptor_set_out --include_source_info."""
    files = FileDescriptorSet.FromString(descriptor_set.read_bytes())
    description = description_of(methods_of(), comments_of(files))
    openapi.write_bytes(orjson.dumps(description, option=orjson.OPT_INDENT_2) + b"\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
