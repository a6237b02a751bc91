"""Authentication, and the endpoint of a path."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from services.gateway.endpoints import DEFAULT_ENDPOINT_ID, PATH, Endpoint, routes_to
from services.gateway.http.rejection import NO_SECRET, WRONG_SECRET, Rejection

ORG = UUID("00000000-0000-0000-0000-000000000001")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, NO_SECRET),
        ({"X-Vapi-Secret": ""}, NO_SECRET),
        ({"X-Vapi-Secret": "  "}, NO_SECRET),
        ({"Authorization": "Bearer"}, NO_SECRET),
        ({"Authorization": "Basic bmV3"}, NO_SECRET),
        ({"X-Vapi-Secret": "ne"}, WRONG_SECRET),
        ({"X-Vapi-Secret": "new "}, None),
        ({"x-vapi-secret": "old"}, None),
        ({"Authorization": "BEARER new"}, None),
        ({"Authorization": "new"}, None),
        ({"Authorization": " Bearer   new "}, None),
        ({"X-Vapi-Secret": "Bearer new"}, None),
        ({"X-Vapi-Secret": "Bearer"}, NO_SECRET),
        ({"X-Vapi-Secret": "Basic new"}, WRONG_SECRET),
        ([("X-Vapi-Secret", ""), ("X-Vapi-Secret", "new")], None),
        ([("Authorization", "Basic x"), ("Authorization", "Bearer new")], None),
        ({"X-Vapi-Secret": "wrong", "Authorization": "Bearer new"}, None),
        ({"X-Vapi-Secret": "\udcff\udcfe"}, WRONG_SECRET),
    ],
)
def test_either_header_with_any_secret_is_accepted(
    headers: dict[str, str] | list[tuple[str, str]], expected: Rejection | None
) -> None:
    """An empty value counts as absent; one valid secret in one of the headers is enough."""
    endpoint = Endpoint("acme", ORG, (b"new", b"old"))

    assert endpoint.authenticate(CIMultiDict(headers)) is expected


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
    endpoint = Endpoint("default", UUID(int=1), SECRETS)

    assert endpoint.authenticate(headers) is not None
    headers["X-Vapi-Secret"] = secret.decode()
    assert endpoint.authenticate(headers) is None


def test_a_secret_may_look_like_a_header() -> None:
    """A secret that starts with a scheme is also compared unchanged."""
    endpoint = Endpoint("acme", ORG, (b"Bearer new", b"two words"))

    for value in ("Bearer new", "two words"):
        assert endpoint.authenticate(CIMultiDict({"X-Vapi-Secret": value})) is None
    assert endpoint.authenticate(CIMultiDict({"Authorization": "Bearer new"})) is None


def test_an_endpoint_does_not_show_its_secrets() -> None:
    """Its repr contains no secret."""
    assert "hush" not in repr(Endpoint("acme", ORG, (b"hush",)))


def test_the_default_endpoint_has_the_short_path_too() -> None:
    """It has two URLs; any other endpoint has one."""
    default, acme = Endpoint(DEFAULT_ENDPOINT_ID, ORG), Endpoint("acme", ORG)

    assert routes_to([default, acme]) == {
        PATH: default,
        f"{PATH}/default": default,
        f"{PATH}/acme": acme,
    }
    assert routes_to([acme]) == {f"{PATH}/acme": acme}
