import sys

from google.protobuf.message import Message

from ringback.metrics.json_document import json_bytes


def print_json(message: Message) -> None:
    """Print an answer as the REST API does, on one line of stdout, unbuffered."""
    write_json(json_bytes(message))


def write_json(document: bytes) -> None:
    """In UTF-8, whatever the terminal's encoding is, because programs read it."""
    sys.stdout.flush()
    sys.stdout.buffer.write(document + b"\n")
    sys.stdout.flush()
