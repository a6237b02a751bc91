"""An event of the log as it is shown: redacted again, because the list of paths may have grown."""

import orjson

from ringback.contract.json_text import JsonText
from ringback.contract.redaction.mark import REDACTED
from ringback.contract.redaction.redaction import Redaction


def shown_event(text: str, redaction: Redaction) -> str:
    """The text of an event, as JSONB writes it, without what the paths name."""
    return redaction.of(JsonText(value=orjson.loads(text), text=text, altered=False)).text


def is_redacted(text: str) -> bool:
    """Whether something was taken out of the event of this text."""
    return REDACTED in text
