"""Handlers of a test: one writes down what it saw, and fails as the event asks, quoting it."""

import asyncio
import json
import os
from pathlib import Path

from ringback.handlers import Event, PermanentFailure, handles


@handles("*")
async def witness(event: Event) -> None:
    """Write the message to the file of WITNESS_FILE; fail if it is to be a dead letter."""
    line = json.dumps({"attempt": event.attempt, "message": event.message}) + "\n"
    await asyncio.to_thread(_append, line)
    match event.message.get("fate"):
        case "fail":
            raise ValueError(f"cannot use {event.message!r}"[:1_900])
        case "dead":
            raise PermanentFailure(f"refused {json.dumps(event.message)}"[:1_900])


def _append(line: str) -> None:
    with Path(os.environ["WITNESS_FILE"]).open("a", encoding="utf-8") as file:
        file.write(line)
