"""Takes out of an error message what may be a secret or a piece of a payload. Pure.

A handler's error says whatever its author, or a library, put into it. What people need at a glance
is its shape; the whole text is in the log, behind a token.
"""

import re

_LONGEST = 1_000
"""Characters looked at. Nobody is shown more."""

_HIDDEN = "***"

_ADDRESS = re.compile(r"\b([a-z][a-z0-9+.-]{1,20})://(\S*)", re.IGNORECASE)
_NAMED = re.compile(
    r"([\w-]{0,40}(?:secret|token|passw|pwd|authorization|api[-_ ]?key|signature|cookie|credential"
    r"|private[-_ ]?key)[\w-]{0,40}['\"]?\s*[:=]\s*)(?:(?:bearer|basic)\s+)?"
    r"(?:'[^']*'?|\"[^\"]*\"?|[^\s,;)]+)",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"\b(bearer|basic)\s+\S+", re.IGNORECASE)
# "[Errno 111]" and "[SSL: WRONG_VERSION_NUMBER]" are an operating system's words, not a payload's.
_NESTED = re.compile(r"\{.*\}|\{.*|\[(?!Errno -?\d+\]|[A-Z][A-Z0-9_: ]{0,60}\]).*\]", re.DOTALL)
_QUOTED = re.compile(r"(?<!\w)(['\"`])(?:(?!\1).|(?<=\w)\1(?=\w))*(?:\1|$)", re.DOTALL)
_PREFIXED = re.compile(r"\b(?:sk|pk|rk|xox[a-z]|gh[a-z]|whsec|AKIA)[-_A-Za-z0-9]{8,}")
_OPAQUE = re.compile(r"[\w+/=~-]{20,}")
_MAIL = re.compile(r"\S+@\S+")
_NUMBER = re.compile(r"\+?\d[\d ()-]{5,}\d")


def without_secrets(text: str) -> str:
    """One line of the text, without what may be a secret or of a payload.

    Credentials, the details of addresses, quoted values, nested data, mail addresses and long
    numbers are replaced.
    """
    line = " ".join(_printable(text[:_LONGEST]).split())
    line = _ADDRESS.sub(_host_alone, line)
    line = _NAMED.sub(rf"\1{_HIDDEN}", line)
    line = _SCHEME.sub(rf"\1 {_HIDDEN}", line)
    line = _NESTED.sub("{…}", line)
    line = _QUOTED.sub("'…'", line)
    line = _PREFIXED.sub(_HIDDEN, line)
    line = _OPAQUE.sub(_unless_a_word, line)
    line = _MAIL.sub(_HIDDEN, line)
    return _NUMBER.sub(_HIDDEN, line)


def _printable(text: str) -> str:
    """Without what moves the cursor, turns the direction of writing, or cannot be encoded."""
    return "".join(character if character.isprintable() else " " for character in text)


def _host_alone(found: re.Match[str]) -> str:
    # A password may hold a slash, so what is before the last @ goes, wherever it stands.
    rest = found[2].rpartition("@")[2]
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return f"{found[1]}://{host}/…"


def _unless_a_word(found: re.Match[str]) -> str:
    text = found[0]
    is_word = text.isalpha() or not any(character.isdigit() for character in text)
    return text if is_word else _HIDDEN
