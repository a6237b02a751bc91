"""Removes possible secrets and payload data from an error message. Pure.

A handler's error may contain anything that its author or a library put into it. A message shows
only enough to recognise the error; the full text is in the log, which needs a token.
"""

import re

from ringback.contract.redaction.secret_names import Name, judge

_MAX_LENGTH = 1_000
"""Characters that are examined. No message shows more."""

_HIDDEN = "***"

_ADDRESS = re.compile(r"\b([a-z][a-z0-9+.-]{1,20})://(\S*)", re.IGNORECASE)
_NAME = re.compile(r"((?:[\w-]{1,40} )?)([\w-]{1,80})['\"]?\s*[:=]\s*(?=\S)")
_VALUE = re.compile(
    r"(?:(?:bearer|basic)\s+)?(?:'[^']*'?|\"[^\"]*\"?|[^\s,;)]+)",
    re.IGNORECASE,
)
# "secret hunter2" contains a secret; "token expired" and "password is wrong" do not.
_SECRET_IN_PROSE = re.compile(
    r"\b((?:secret|token|password|pwd|(?:api|access|private)[-_ ]?key|signature|credentials?)\s+"
    r"(?:is\s+|was\s+)?)(?=\S*\d)\S+",
    re.IGNORECASE,
)
_KEY_FILE = re.compile(r"-----BEGIN.*")
_HOST = re.compile(r"[\w.-]+(?::\d{1,5})?|\[[0-9a-f:.]+\](?::\d{1,5})?", re.IGNORECASE)
_SCHEME = re.compile(r"\b(bearer|basic)\s+\S+", re.IGNORECASE)
# Keep "[Errno 111]" and "[SSL: WRONG_VERSION_NUMBER]": they are not nested payload data.
_NESTED = re.compile(r"\{.*\}|\{.*|\[(?!Errno -?\d+\]|[A-Z][A-Z0-9_: ]{0,60}\])(?:.*\]|.*)")
_QUOTED = re.compile(r"(?<!\w)(['\"`])(?:(?!\1).|(?<=\w)\1(?=\w))*(?:\1|$)", re.DOTALL)
_PREFIXED = re.compile(r"\b(?:sk|pk|rk|xox[a-z]|gh[a-z]|whsec|AKIA)[-_A-Za-z0-9]{8,}")
_OPAQUE = re.compile(r"[\w+/=~-]{20,}")
_MAIL = re.compile(r"\S+@\S+")
_NUMBER = re.compile(r"\+?\d[\d ()-]{5,}\d")


def without_secrets(text: str) -> str:
    """One line of the text, without possible secrets or payload data.

    Replaces credentials, all of a URL except its host, quoted values, nested data, mail addresses
    and long numbers.
    """
    line = " ".join(_printable(text[: 2 * _MAX_LENGTH]).split())
    if len(line) > _MAX_LENGTH:
        # Half a secret may not be recognizable.
        line = line[:_MAX_LENGTH].rpartition(" ")[0]
    line = _KEY_FILE.sub(_HIDDEN, line)
    line = _ADDRESS.sub(_without_url_details, line)
    line = _without_named_secrets(line)
    line = _SECRET_IN_PROSE.sub(rf"\1{_HIDDEN}", line)
    line = _SCHEME.sub(rf"\1 {_HIDDEN}", line)
    line = _NESTED.sub("{…}", line)
    line = _QUOTED.sub("'…'", line)
    line = _PREFIXED.sub(_HIDDEN, line)
    line = _OPAQUE.sub(_hidden_unless_word, line)
    line = _MAIL.sub(_HIDDEN, line)
    return _NUMBER.sub(_HIDDEN, line)


def _printable(text: str) -> str:
    """Remove cursor movement, changes of writing direction, and what cannot be encoded."""
    return "".join(character if character.isprintable() else " " for character in text)


def _without_url_details(found: re.Match[str]) -> str:
    # A password may contain a slash, so everything up to the last @ is removed.
    rest = found[2].rpartition("@")[2]
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return f"{found[1]}://{host if _HOST.fullmatch(host) else _HIDDEN}/…"


def _without_named_secrets(line: str) -> str:
    """Hide what follows the name of a secret, such as `password=` or `API key: `."""
    shown, start = "", 0
    while found := _NAME.search(line, start):
        shown += line[start : found.end()]
        start = found.end()
        if _is_secret(*found.groups()) and (value := _VALUE.match(line, start)):
            shown += _HIDDEN
            start = value.end()
    return shown + line[start:]


def _is_secret(before: str, name: str) -> bool:
    is_pair = judge(before) is Name.ORDINARY and judge(before + name) is not Name.ORDINARY
    return is_pair or judge(name) is not Name.ORDINARY


def _hidden_unless_word(found: re.Match[str]) -> str:
    text = found[0]
    is_word = text.isalpha() or not any(character.isdigit() for character in text)
    return text if is_word else _HIDDEN
