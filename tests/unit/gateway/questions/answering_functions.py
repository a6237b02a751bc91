"""Functions that answer questions well or badly, as `message.do` says."""

import asyncio
import os
import threading
import time
from typing import Any

from ringback.handlers import Question, answers

SECRET_TEXT = "what the caller said"


@answers("assistant-request", "handoff-destination-request", "transfer-destination-request")
async def choose(question: Question) -> Any:
    match question.message.get("do"):
        case "raise":
            raise KeyError(SECRET_TEXT)
        case "wait":
            print("waiting", flush=True)  # ruff: ignore[print]  # for the test
            await asyncio.Event().wait()
        case "block":
            time.sleep(3600)  # ruff: ignore[blocking-sleep-in-async-function]  # on purpose
        case "list":
            return []
        case "cancel":
            raise asyncio.CancelledError
        case "stop":
            next(iter(()))
    return {"assistantId": str(os.getpid()), "variables": sorted(os.environ)}


@answers("tool-calls")
def book(question: Question) -> dict[str, object]:
    match question.message.get("do"):
        case "block":
            threading.Event().wait()
        case "stop":
            next(iter(()))
        case "interrupt":
            raise KeyboardInterrupt
    asked = {
        "id": question.id,
        "type": question.type,
        "org": question.org_id,
        "endpoint": question.endpoint_id,
        "call": question.call_id,
        "trace": question.trace.traceparent,
        "thread": threading.current_thread() is not threading.main_thread(),
    }
    return {"results": [], "asked": asked}


@answers("voice-request")
def speak(_: Question) -> bytes:
    return b"\x00\xff"
