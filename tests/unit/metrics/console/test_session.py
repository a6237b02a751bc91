"""Session cookies: what the browser keeps, and what counts as a session."""

import time
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from ringback.services.metrics.auth.authenticator import Authenticator
from ringback.services.metrics.auth.keys import secret_key
from ringback.services.metrics.auth.principal import Principal, Role
from ringback.services.metrics.console.session import SESSION_S, Cookies, Sessions, SignedValues
from ringback.services.metrics.transport.errors import ApiError
from tests.integration.metrics.queried_log import OURS
from tests.support.tokens import CONSOLE_SECRET, token

PEOPLE = [Principal(Role.SERVICE, None, "ada"), Principal(Role.TENANT, OURS, "bob@acme.com")]


def sessions(clock: float | None = None, secret: str = CONSOLE_SECRET) -> Sessions:
    signed = SignedValues(secret, time.time if clock is None else lambda: clock)
    return Sessions(signed, Cookies(is_https=True, path="/console"))


def cookie_of(person: Principal, made_at: float | None = None) -> str:
    response = web.Response()
    sessions(made_at).begin(response, person)
    return response.cookies["__Host-ringback"].value


def request(value: str, name: str = "__Host-ringback") -> web.BaseRequest:
    return make_mocked_request("GET", "/console", headers={"Cookie": f"{name}={value}"})


@pytest.mark.parametrize("person", PEOPLE, ids=str)
def test_a_session_is_the_person_for_8_hours(person: Principal) -> None:
    cookie = cookie_of(person, made_at=1000)

    found = sessions(1000 + SESSION_S - 1).current(request(cookie))

    assert found is not None
    assert found.principal == person
    assert found.expires_at is not None
    assert found.expires_at.timestamp() == 1000 + 8 * 3600
    assert sessions(1000 + SESSION_S).current(request(cookie)) is None


def claims(**changes: Any) -> Mapping[str, Any]:
    known = {"sub": "ada", "role": "service", "exp": time.time() + 60, "aud": "ringback-console"}
    return {**known, **changes}


OURS_SIGNED = SignedValues(CONSOLE_SECRET)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a.b.c",
        token(secret=CONSOLE_SECRET),
        token(secret=CONSOLE_SECRET, aud="ringback-console"),
        jwt.encode(dict(claims()), "", "none"),
        SignedValues("another secret of 32 bytes or more").sign("ringback-console", claims(), 60),
        OURS_SIGNED.sign("ringback-oidc", claims(), 60),
        OURS_SIGNED.sign("ringback-console", claims(role="admin"), 60),
        OURS_SIGNED.sign("ringback-console", claims(role="tenant"), 60),
        OURS_SIGNED.sign("ringback-console", {"role": "service"}, 60),
        cookie_of(PEOPLE[0])[:-1],
        cookie_of(PEOPLE[0]) + "x" * 5000,
    ],
)
def test_what_is_no_session(value: str) -> None:
    """Also a token of the API that is signed by the console's own secret."""
    assert sessions().current(request(value)) is None


def test_a_cookie_that_is_no_text_is_no_session() -> None:
    """Bytes that are not UTF-8, as aiohttp passes them on."""
    assert OURS_SIGNED.read("ringback-console", "\udcff\udcfe") is None


def test_a_session_is_no_token_of_the_api() -> None:
    """Even if the API has the same secret, and the console's audience."""
    api = Authenticator(secret_key(CONSOLE_SECRET), "ringback-console", None)

    with pytest.raises(ApiError):
        api.check(f"Bearer {cookie_of(PEOPLE[0])}")


@pytest.mark.parametrize(
    ("is_https", "expected"),
    [
        (True, "__Host-ringback=; HttpOnly; Path=/; SameSite=Lax; Secure"),
        (False, "ringback=; HttpOnly; Path=/ops/x; SameSite=Lax"),
    ],
)
def test_the_cookie_is_for_this_server_alone(*, is_https: bool, expected: str) -> None:
    """The same attributes when it is set and when it is cleared."""
    kept = Sessions(SignedValues(CONSOLE_SECRET), Cookies(is_https=is_https, path="/ops/x"))
    set_response, cleared = web.Response(), web.Response()

    kept.begin(set_response, PEOPLE[0])
    kept.end(cleared)

    [morsel], [empty] = set_response.cookies.values(), cleared.cookies.values()
    assert morsel["max-age"] == str(SESSION_S) or morsel["max-age"] == SESSION_S
    assert str(empty["max-age"]) == "0"
    for one in (morsel, empty):
        one.set(one.key, "", "")
        one["max-age"] = ""
        one["expires"] = ""
        assert one.OutputString() == expected
