"""Validates answers by Vapi's own types. Runs in .venv/vapi, which has only these.

Reads [[event type, answer], ...] from stdin, and prints the mistakes of each answer.
"""

import importlib
import json
import sys
from itertools import starmap

import pydantic

PREFIX = "vapi.types.server_message_response_"


def mistakes(event_type: str, answer: object) -> list[str]:
    name = event_type.replace(".", "_").replace("-", "_")
    title = "".join(word.capitalize() for word in name.split("_"))
    module = importlib.import_module(PREFIX + name)
    model = getattr(module, f"ServerMessageResponse{title}")
    try:
        pydantic.TypeAdapter(model).validate_python(answer)
    except pydantic.ValidationError as exc:
        return [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in exc.errors()]
    return []


json.dump(list(starmap(mistakes, json.load(sys.stdin))), sys.stdout)
