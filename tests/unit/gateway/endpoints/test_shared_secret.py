"""A secret in a header: who is let in, and why anyone else is not."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from ringback.services.gateway.endpoints.credentials import Reason, SharedSecret
from ringback.services.gateway.endpoints.endpoint import (
    DEFAULT_ENDPOINT_ID,
    PATH,
    PROVEN,
    Endpoint,
    routes_to,
)
from ringback.services.gateway.http.rejection import Rejection

ORG = UUID("00000000-0000-0000-0000-000000000001")
BOTH = ("X-Vapi-Secret", "Authorization")


def reason_of(headers: CIMultiDict[str], credential: SharedSecret) -> str | None:
    """Why an endpoint with this credential rejects these headers; None if it does not."""
    found = Endpoint("acme", ORG, (credential,)).check_head(headers, 0.0)
    if not isinstance(found, Rejection):
        assert found is PROVEN
        return None
    assert found.status == 401
    assert found.checks[0].startswith(f"{found.reason}: ")
    assert "new" not in str(found.checks)
    assert found.detail == "The request does not prove that its sender may use this endpoint."
    return found.reason


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, Reason.NO_SECRET),
        ({"X-Vapi-Secret": ""}, Reason.NO_SECRET),
        ({"X-Vapi-Secret": "  "}, Reason.NO_SECRET),
        ({"Authorization": "Bearer"}, Reason.NO_SECRET),
        ({"Authorization": "Basic bmV3"}, Reason.WRONG_SCHEME),
        ({"X-Vapi-Secret": "ne"}, Reason.WRONG_SECRET),
        ({"X-Vapi-Secret": "new "}, None),
        ({"x-vapi-secret": "old"}, None),
        ({"Authorization": "BEARER new"}, None),
        ({"Authorization": "new"}, None),
        ({"Authorization": " Bearer   new "}, None),
        ({"X-Vapi-Secret": "Bearer new"}, None),
        ({"X-Vapi-Secret": "Bearer"}, Reason.NO_SECRET),
        ({"X-Vapi-Secret": "Basic new"}, Reason.WRONG_SECRET),
        ([("X-Vapi-Secret", ""), ("X-Vapi-Secret", "new")], None),
        ([("Authorization", "Basic x"), ("Authorization", "Bearer new")], None),
        ({"X-Vapi-Secret": "wrong", "Authorization": "Bearer new"}, None),
        ({"X-Vapi-Secret": "\udcff\udcfe"}, Reason.WRONG_SECRET),
    ],
)
def test_either_header_with_any_secret_is_accepted(
    headers: dict[str, str] | list[tuple[str, str]], expected: Reason | None
) -> None:
    """An empty value counts as absent; one valid secret in one of the headers is enough."""
    assert reason_of(CIMultiDict(headers), SharedSecret(BOTH, (b"new", b"old"))) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-Api-Key": "Token new"}, None),
        ({"x-api-key": "Bearer Token new"}, None),
        ({"X-Api-Key": "new"}, Reason.WRONG_SECRET),
        ({"X-Vapi-Secret": "Token new", "Authorization": "Token new"}, Reason.NO_SECRET),
    ],
)
def test_a_static_header_has_any_name(headers: dict[str, str], expected: Reason | None) -> None:
    """Its whole value counts, and no other header does."""
    credential = SharedSecret(("X-Api-Key",), (b"Token new",))

    assert reason_of(CIMultiDict(headers), credential) == expected


SECRETS = (b"the-first-secret", "ein zweites Geheimnis: ü".encode())
#: As aiohttp decodes what came: UTF-8, and what is none as surrogates.
AS_READ = st.binary(max_size=40).map(lambda raw: raw.decode(errors="surrogateescape"))
GUESSES = AS_READ | st.sampled_from([secret.decode() for secret in SECRETS]).flatmap(
    lambda secret: st.sampled_from(
        [secret[:-1], secret + "x", secret.upper(), secret[::-1], f"{secret}\x00", f"x{secret}"]
    )
)
NAMES = st.sampled_from(["X-Vapi-Secret", "Authorization", "authorization", "Proxy-Authorization"])
SCHEMES = st.sampled_from(["", "Bearer ", "bearer ", "Basic ", "Bearer", "Bearer\t"])
HEADERS: st.SearchStrategy[CIMultiDict[str]] = st.lists(
    st.tuples(NAMES, st.builds(str.__add__, SCHEMES, GUESSES)), max_size=4
).map(CIMultiDict)


@given(headers=HEADERS, secret=st.sampled_from(SECRETS))
def test_only_the_secret_is_accepted(headers: CIMultiDict[str], secret: bytes) -> None:
    """Near matches, other schemes and repeated headers neither help nor do harm."""
    credential = SharedSecret(BOTH, SECRETS)

    assert credential.check_head(headers, 0.0) is not None
    headers["X-Vapi-Secret"] = secret.decode()
    assert credential.check_head(headers, 0.0) is None


def test_a_secret_may_look_like_a_header() -> None:
    """A secret that starts with a scheme is also compared unchanged."""
    credential = SharedSecret(BOTH, (b"Bearer new", b"two words"))

    for value in ("Bearer new", "two words"):
        assert reason_of(CIMultiDict({"X-Vapi-Secret": value}), credential) is None
    assert reason_of(CIMultiDict({"Authorization": "Bearer new"}), credential) is None


def test_an_endpoint_does_not_show_its_secrets() -> None:
    """Its repr contains no secret."""
    assert "hush" not in repr(Endpoint("acme", ORG, (SharedSecret(BOTH, (b"hush",)),)))


def test_the_default_endpoint_has_the_short_path_too() -> None:
    """It has two URLs; any other endpoint has one."""
    default, acme = Endpoint(DEFAULT_ENDPOINT_ID, ORG), Endpoint("acme", ORG)

    assert routes_to([default, acme]) == {
        PATH: default,
        f"{PATH}/default": default,
        f"{PATH}/acme": acme,
    }
    assert routes_to([acme]) == {f"{PATH}/acme": acme}
