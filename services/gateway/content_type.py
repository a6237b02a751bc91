import re

_LONGEST_BYTES = 255
_JSON = re.compile(r"(application/json|[\w!#$&^.+-]+/[\w!#$&^.+-]+\+json)[ \t]*(;.*)?", re.ASCII)


def is_json(content_type: str | None) -> bool:
    """Whether a Content-Type is application/json or anything/…+json, and of a sane length."""
    if content_type is None or len(content_type.encode(errors="replace")) > _LONGEST_BYTES:
        return False
    return _JSON.fullmatch(content_type.strip().lower()) is not None
