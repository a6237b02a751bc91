"""An event of the log, redacted again because the list of paths may have grown."""

import orjson

from ringback.contract.json_text import JsonText
from ringback.contract.redaction.redaction import Redaction
from ringback.contract.redaction.scrub import REDACTED


def shown_event(text: str, redaction: Redaction) -> str:
    """The text of an event, as JSONB writes it, without the redacted paths."""
    return redaction.of(JsonText(value=orjson.loads(text), text=text, altered=False)).text


def is_redacted(text: str) -> bool:
    """Whether anything was redacted from the event of this text."""
    return REDACTED in text
