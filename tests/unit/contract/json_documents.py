"""Untrusted JSON for the tests of json_text and event, here and against PostgreSQL."""

import json
import random

from hypothesis import strategies as st

STRINGS = st.text(max_size=12) | st.sampled_from(
    ["\x00", "\ud800", "\udfff\ud800", "a\x00b", "\\u0000", "\\", '"', "\x1f\x7f", "\ufeff", "😀",
     "e+9", "e-123,", "0195f9ce-1234-7abc-8def-0123456789ab"]
)  # fmt: skip
NUMBERS = st.sampled_from(
    ["0", "-0", "-0.0", "1", "1.0", "1.10", "1e5", "1E+5", "1e-5", "1e16", "1e22", "1e30", "1e31",
     "1e100", "1e130000", "1e-130000", "1e-00000000020000", "1e+0000000000300", "1e400", "-1e400",
     "0e999999", "0.0e-999999999999", "5e-324", "1.7976931348623157e308", "9" * 300, "9" * 301,
     "9" * 5_000, "0." + "3" * 298, "0." + "3" * 299, "9" * 290 + ".5e30", "18446744073709551615",
     "18446744073709551616", "123456789012345678901234567890", "3.141592653589793238462643"]
) | (st.integers() | st.floats(allow_nan=False, allow_infinity=False)).map(repr)  # fmt: skip


def _string(text: str, *, ascii_only: bool) -> str:
    escaped = json.dumps(text, ensure_ascii=True)
    return escaped if ascii_only or not text.isprintable() else json.dumps(text, ensure_ascii=False)


STRING_TEXTS = st.builds(_string, STRINGS, ascii_only=st.booleans())
SPACES = st.sampled_from(["", "", " ", "\n\t", "\r\n  "])


def _array(space: str, items: list[str]) -> str:
    return "[" + f",{space}".join(items) + space + "]"


def _object(space: str, members: list[tuple[str, str]]) -> str:
    return "{" + space + ",".join(f"{name}:{space}{value}" for name, value in members) + "}"


#: Texts that are JSON by grammar, with any content; keys may repeat.
JSON_TEXTS: st.SearchStrategy[str] = st.recursive(
    st.sampled_from(["null", "true", "false", '""', "[]", "{}"]) | STRING_TEXTS | NUMBERS,
    lambda inner: (
        st.builds(_array, SPACES, st.lists(inner, max_size=5))
        | st.builds(_object, SPACES, st.lists(st.tuples(STRING_TEXTS, inner), max_size=5))
    ),
    max_leaves=25,
)


def broken(text: str, seed: int) -> bytes:
    """The document with a byte or two changed, dropped or added."""
    chance = random.Random(seed)
    body = bytearray(text.encode(errors="surrogatepass"))
    for _ in range(chance.randint(1, 2)):
        place = chance.randint(0, len(body))
        body[place : place + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 2))
    return bytes(body)


#: Bytes that are mostly not JSON, but often nearly.
ANY_BYTES = st.binary(max_size=40) | st.builds(broken, JSON_TEXTS, st.integers(0, 2**32))
