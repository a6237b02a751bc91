"""The list of places in an event whose values are hidden, and the words in which it is given.

A path is segments with dots between them: a name, a name's beginning with `*` at its end, `*` for
any one key or index, `**` for any number of them. `**.server.headers` is each `headers` within a
`server`, wherever that stands.
"""

import re

ANY = "*"
ANY_DEPTH = "**"
DEFAULTS = "defaults"
NONE = "none"

DEFAULT_PATHS = (
    "**.accessToken",
    "**.apiKey",
    "**.apiSecret",
    "**.authToken",
    "**.authorization",
    "**.callToken",
    "**.clientSecret",
    "**.credentials",
    "**.headers",
    "**.monitor.controlUrl",
    "**.monitor.listenUrl",
    "**.password",
    "**.presigned*",
    "**.privateKey",
    "**.refreshToken",
    "**.secret",
    "**.secretAccessKey",
    "**.secretKey",
    "**.serverUrlSecret",
    "**.token",
    "**.twilioAccountSid",
    "**.twilioApiKey",
    "**.twilioApiSecret",
    "**.twilioAuthToken",
)
"""Credentials that are known to travel in the bodies of Vapi."""

_MOST_SEGMENTS = 20
_SEGMENT = re.compile(r"\*\*|\*|[^*\s]+\*?")

Path = tuple[str, ...]


class BadPathError(ValueError):
    """The text is no list of paths; it says which one is not, and why."""


def paths_in(text: str) -> tuple[Path, ...]:
    """Read paths with commas between them. The word `defaults` stands for DEFAULT_PATHS.

    `none` alone is the empty list. Raises BadPathError.
    """
    words = [word.strip() for word in text.split(",")]
    if words == [NONE]:
        return ()
    paths: dict[Path, None] = {}
    for word in words:
        listed = DEFAULT_PATHS if word == DEFAULTS else (word,)
        paths.update(dict.fromkeys(map(_path, listed)))
    return tuple(paths)


def _path(text: str) -> Path:
    path = tuple(text.split("."))
    if not text:
        raise BadPathError("has an empty path: is there a comma too many?")
    if text == NONE:
        raise BadPathError(f"has the word {NONE} beside paths; it stands alone")
    bad = next((segment for segment in path if not _SEGMENT.fullmatch(segment)), None)
    if bad is not None:
        raise BadPathError(
            f"has the path {text!r}, of which the segment {bad!r} is none: "
            "a name, a name with * at its end, * or **"
        )
    if path[-1] == ANY_DEPTH:
        raise BadPathError(f"has the path {text!r}; ** must be followed by a name or *")
    if len(path) > _MOST_SEGMENTS:
        raise BadPathError(f"has a path of more than {_MOST_SEGMENTS} segments")
    return path
