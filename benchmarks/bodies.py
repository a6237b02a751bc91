"""Bodies of several sizes: the end-of-call report of the samples, shortened or lengthened."""

from typing import Any

import orjson

from ringback.samples import sample

SIZES = {"2kB": 2_000, "16.7kB": 16_700, "260kB": 260_000, "1.3MB": 1_300_000}
"""Names of sizes, in bytes."""

USUAL_SIZE = "16.7kB"
QUESTION = "question"

CALL_ID = b"0198a000-0000-7000-8000-0000000000c1"
"""The call's id in the sample. A client replaces it, so that each body is unique."""

_KEPT = ("type", "timestamp", "endedReason", "call", "summary")


def body(size: str) -> bytes:
    """The body with this name of a size, or the question of the samples."""
    if size == QUESTION:
        return _question()
    report: dict[str, Any] = orjson.loads(sample("end-of-call-report"))
    message, target = report["message"], SIZES[size]
    full = orjson.dumps(report)
    if size == USUAL_SIZE:
        return full
    if target < len(full):
        message = {name: message[name] for name in _KEPT if name in message}
        report["message"] = message
    message["messages"] = list(message.get("messages", []))
    turn = {"role": "user", "message": "I would like to book a table for two, please. " * 3}
    missing = target - len(orjson.dumps(report))
    message["messages"] += [turn] * max(0, missing // (len(orjson.dumps(turn)) + 1))
    return orjson.dumps(report)


def _question() -> bytes:
    question: dict[str, Any] = orjson.loads(sample("assistant-request"))
    question["message"]["call"]["id"] = CALL_ID.decode()
    return orjson.dumps(question)
