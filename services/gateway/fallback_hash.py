"""A hash of an event for which no better key is known.

Two deliveries of one event differ in their bytes: presigned URLs are made anew for each, and keys
have no order. So neither takes part.
"""

import hashlib
import json
from typing import Any

import orjson

_SNAPSHOTS = ("call", "assistant", "phoneNumber")
_PRESIGNED = "presigned"


def fallback_hash(message: dict[str, Any]) -> str:
    """The SHA-256, in hex, of what two deliveries of one event have in common."""
    return digest_of(_in_common(message))


def digest_of(value: Any) -> str:
    """The SHA-256, in hex, of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(_canonical(value)).hexdigest()


def _in_common(message: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in message.items() if name not in _SNAPSHOTS}
    call = message.get("call")
    if isinstance(call, dict):
        kept["call"] = {"id": call.get("id")}
    artifact = message.get("artifact")
    if isinstance(artifact, dict):
        kept["artifact"] = {
            name: value for name, value in artifact.items() if not name.startswith(_PRESIGNED)
        }
    return kept


def _canonical(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        # Lone surrogates, integers beyond 64 bits, and more than 254 levels.
        return json.dumps(value, sort_keys=True).encode()
