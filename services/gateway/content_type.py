import codecs
import re

_LONGEST_BYTES = 255
_JSON = re.compile(r"(application/json|[\w!#$&^.+-]+/[\w!#$&^.+-]+\+json)[ \t]*(;.*)?", re.ASCII)
_CHARSET = re.compile(r';[ \t]*charset[ \t]*=[ \t]*"?([\w.:-]+)', re.ASCII)
_CHARSETS = frozenset(
    {
        *("cp1252", "iso8859-1", "iso8859-15"),
        *("utf-16", "utf-16-be", "utf-16-le", "utf-32", "utf-32-be", "utf-32-le"),
    }
)
"""Those beside UTF-8 in which senders write JSON, by the names that Python gives them."""


def is_json(content_type: str | None) -> bool:
    """Whether a Content-Type is application/json or anything/…+json, and of a sane length."""
    if content_type is None or len(content_type.encode(errors="replace")) > _LONGEST_BYTES:
        return False
    return _JSON.fullmatch(content_type.strip().lower()) is not None


def charset_in(content_type: str | None) -> str | None:
    """The charset that a Content-Type names, if it is one that we read and is not UTF-8."""
    found = _CHARSET.search((content_type or "")[:_LONGEST_BYTES].lower())
    if found is None:
        return None
    try:
        name = codecs.lookup(found[1]).name
    except LookupError:
        return None
    return name if name in _CHARSETS else None
