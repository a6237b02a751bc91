import sys

from google.protobuf.message import Message

from ringback.metrics.json_document import json_bytes


def print_json(message: Message) -> None:
    """An answer as the REST API gives it, on one line of stdout, at once: somebody may follow."""
    sys.stdout.write(json_bytes(message).decode() + "\n")
    sys.stdout.flush()
