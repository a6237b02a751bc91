"""What a channel shows of an error: its shape, and no secret and no payload."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.services.metrics.slack.redaction import without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        # Useful parts stay.
        ("The demo asked attempt 4 to fail.", "The demo asked attempt 4 to fail."),
        ("[Errno 111] Connection refused", "[Errno 111] Connection refused"),
        (
            "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)",
            "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)",
        ),
        ("token expired, password is wrong", "token expired, password is wrong"),
        ("It can't be done, isn't that odd?", "It can't be done, isn't that odd?"),
        # Lines, controls and the direction of writing.
        ("one\n\n  two\tthree\x1b[31m\u202efour", "one two three {…}"),
        # Addresses, without user, path and query.
        (
            "no route to postgresql://user:pa/ss@db.internal:5432/shop?x=1",
            "no route to postgresql://db.internal:5432/…",
        ),
        ("amqp://user:pass word@host", "amqp://***/… ***"),
        ("401 for https://api.crm.io/v1/ada?api_key=1", "401 for https://api.crm.io/…"),
        # Credentials in their usual forms.
        ("Authorization: Bearer abc", "Authorization: ***"),
        ("sent Basic QWxhZGRpbg==", "sent Basic ***"),
        ("password=hunter user=bob", "password=*** user=bob"),
        ("the secret hunter2 and the API key is a1", "the secret *** and the API key is ***"),
        ("APIKey=abc, jwt: x, sipHeaders=y", "APIKey=***, jwt: ***, sipHeaders=***"),
        ("the API key: abc, access key = x", "the API key: ***, access key = ***"),
        ("error: password=hunter", "error: password=***"),
        (
            "maxTokens=500 is too many, token type: jwt",
            "maxTokens=500 is too many, token type: jwt",
        ),
        ("-----BEGIN PRIVATE KEY----- MIIabc", "***"),
        ("bad key sk_live_a1b2c3", "bad key ***"),
        ("bad key 0123456789abcdefghij", "bad key ***"),
        # Pieces of payloads.
        ("KeyError: 'summary'", "KeyError: '…'"),
        ("'name' is required in {'customer': {'name': 'Ada'}}", "'…' is required in {…}"),
        ("bad item [1, 2", "bad item {…}"),
        ("ada@example.com bounced", "*** bounced"),
        ("no answer from +49 (170) 123-4567", "no answer from ***"),
        ("", ""),
    ],
)
def test_the_shape_of_an_error_stays(text: str, shown: str) -> None:
    """A person sees what went wrong; the rest is in the log, behind a token."""
    assert without_secrets(text) == shown


_SECRET = st.text(string.ascii_letters + string.digits, min_size=8, max_size=60).filter(
    lambda text: not text.isalpha()
)
_NAME = st.sampled_from(
    ["password", "api_key", "x-api-key", "client_secret", "access_token", "Cookie", "Signature"]
)
_CARRIER = st.one_of(
    st.builds("{0}={1}".format, _NAME, _SECRET),
    st.builds("{0}: {1}".format, _NAME, _SECRET),
    st.builds('"{0}": "{1}"'.format, _NAME, _SECRET),
    st.builds("{0} = '{1}'".format, _NAME, _SECRET),
    st.builds("Bearer {1}".format, _NAME, _SECRET),
    st.builds("the password {1}".format, _NAME, _SECRET),
    st.builds("postgresql://ada:{1}@db/shop".format, _NAME, _SECRET),
    st.builds("https://crm/hook?{0}={1}".format, _NAME, _SECRET),
    st.builds("https://hooks.slack.com/services/T0/B0/{1}".format, _NAME, _SECRET),
    st.builds("sk_live_{1}".format, _NAME, _SECRET),
    st.builds("ada+{1}@example.com".format, _NAME, _SECRET),
    st.builds(lambda name, secret: json.dumps({"a": [{name: secret}]}), _NAME, _SECRET),
    st.builds(lambda name, secret: repr({"a": [{name: secret}]}), _NAME, _SECRET),
    st.builds(lambda name, secret: f"{secret!r} is no {name}", _NAME, _SECRET),
)
_WORDS = st.lists(
    st.sampled_from(["it", "can't", "be", "the", "isn't", "error:", "(5)", "é", "\n"]), max_size=300
).map(" ".join)


@given(st.data(), _WORDS, _WORDS)
def test_no_secret_is_shown(data: st.DataObject, before: str, after: str) -> None:
    """In any form, in any position, and wherever the text is cut off."""
    carrier = data.draw(_CARRIER)
    secrets = [word for word in _words_of(carrier) if not word.isalpha() and len(word) >= 8]

    shown = without_secrets(f"{before} {carrier} {after}")

    assert secrets
    for secret in secrets:
        assert secret not in shown
        assert secret[:6] not in shown


def test_half_a_secret_is_not_shown() -> None:
    """Wherever the text is cut off for its length."""
    for place in range(900, 1_010):
        shown = without_secrets(
            "a " * (place // 2) + "a" * (place % 2) + " hunter2b@example.com end"
        )

        assert "hunt" not in shown


def _words_of(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text).split()


@given(st.text(st.characters(exclude_categories=[]), max_size=5_000))
def test_whatever_it_is_one_line_that_can_be_encoded(text: str) -> None:
    """Lone surrogates, controls and a megabyte of it included."""
    shown = without_secrets(text)

    assert shown.isprintable()
    shown.encode()
    assert len(shown) <= 2_000


@pytest.mark.parametrize("letter", list("\"'[{(:=@-.a1 `/"))
def test_no_text_takes_long(letter: str) -> None:
    """The expressions do not backtrack without bound on repetitive text."""
    for text in (letter * 2_000, f"a{letter}" * 1_000, f"password{letter}" * 200):
        assert len(without_secrets(text)) <= 2_000
