"""Signing in at a real provider, and everything that must not sign anybody in."""

from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from ringback.runtime.outgoing.client import OutgoingClient
from ringback.services.metrics.auth.principal import Principal, Role
from ringback.services.metrics.console.oidc import (
    AWAY,
    FAILED,
    NO_ROLE,
    OidcProvider,
    SignInError,
    claim_in,
)
from ringback.services.metrics.console.settings import ConsoleSettings
from tests.integration.metrics.queried_log import OURS
from tests.support.certificate import client_tls
from tests.support.oidc_server import CLIENT_ID, CLIENT_SECRET, OidcServer, oidc_server

CALLBACK = "https://ops.example/console/oidc/callback"
SERVICE = {"groups": ["staff", "operators"], "email": "ada@example.com"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[OidcServer]:
    async with oidc_server(tmp_path) as served:
        served.claims = dict(SERVICE)
        yield served


@pytest.fixture
async def client(server: OidcServer, tmp_path: Path) -> AsyncIterator[OutgoingClient]:
    assert server.issuer, "its certificate exists"
    loopback = (ip_network("127.0.0.1/32"),)
    async with OutgoingClient(loopback, tls=client_tls(tmp_path)).running() as running:
        yield running


def provider(server: OidcServer, client: OutgoingClient, **changes: Any) -> OidcProvider:
    values: dict[str, Any] = {
        "console_oidc_issuer": server.issuer,
        "console_oidc_client_id": CLIENT_ID,
        "console_oidc_client_secret": CLIENT_SECRET,
        "console_oidc_subject_claim": "email",
        "console_oidc_role_claim": "groups",
        "console_oidc_service_role": "operators",
        "console_oidc_tenant_role": "customers",
        "console_oidc_org_claim": "app.org",
        "console_secret": "x" * 32,
        "console_url": "https://ops.example",
    }
    settings = ConsoleSettings.model_validate(values | changes)
    return OidcProvider(settings, client, CALLBACK)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        (SERVICE, Principal(Role.SERVICE, None, "ada@example.com")),
        (
            {"groups": "customers", "email": "bob@acme.com", "app": {"org": str(OURS)}},
            Principal(Role.TENANT, OURS, "bob@acme.com"),
        ),
    ],
)
@pytest.mark.parametrize("is_public", [False, True], ids=["secret", "public"])
async def test_the_claims_decide_who_somebody_is(
    server: OidcServer,
    client: OutgoingClient,
    claims: dict[str, Any],
    expected: Principal,
    *,
    is_public: bool,
) -> None:
    """With a client secret, or by PKCE alone."""
    server.claims, server.is_public_client = dict(claims), is_public
    changes = {"console_oidc_client_secret": None} if is_public else {}
    oidc = provider(server, client, **changes)
    url, pending = await oidc.begin("/console/failures")

    person = await oidc.finish(server.approve(url), pending)

    assert person == expected
    assert pending.next_path == "/console/failures"


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"nonce": "of another browser"}, FAILED),
        ({"aud": "another client"}, FAILED),
        ({"aud": [CLIENT_ID, "another"], "azp": "another"}, FAILED),
        ({"iss": "https://login.example"}, FAILED),
        ({"exp": 1}, FAILED),
        ({"groups": ["staff"]}, NO_ROLE),
        ({"groups": None}, NO_ROLE),
        ({"groups": "customers"}, NO_ROLE),
        ({"groups": "customers", "app": {"org": "acme"}}, NO_ROLE),
        ({"email": "ada\n@example.com"}, NO_ROLE),
    ],
    ids=str,
)
async def test_an_id_token_that_is_not_for_this_sign_in(
    server: OidcServer, client: OutgoingClient, claims: dict[str, Any], message: str
) -> None:
    oidc = provider(server, client)
    server.claims |= claims
    url, pending = await oidc.begin("/console")

    with pytest.raises(SignInError) as refused:
        await oidc.finish(server.approve(url), pending)

    assert refused.value.message == message


async def test_a_forged_signature(server: OidcServer, client: OutgoingClient) -> None:
    oidc = provider(server, client)
    server.signed_by_other = True
    url, pending = await oidc.begin("/console")

    with pytest.raises(SignInError, match="InvalidSignatureError"):
        await oidc.finish(server.approve(url), pending)


async def test_a_callback_that_is_not_ours_or_not_a_success(
    server: OidcServer, client: OutgoingClient
) -> None:
    """None of them reaches the token endpoint."""
    oidc = provider(server, client)
    url, pending = await oidc.begin("/console")
    good = server.approve(url)
    denied = urlencode({"error": "access_denied", "state": pending.state})
    forged = urlencode({"error": "x" * 999, "state": pending.state})

    for query, state in [
        (good, "another state"),
        (good.partition("&")[0], pending.state),
        ("", pending.state),
        (denied, pending.state),
        (forged, pending.state),
    ]:
        with pytest.raises(SignInError) as refused:
            await oidc.finish(query, replace(pending, state=state))
        assert refused.value.message == FAILED
        assert len(refused.value.reason) < 100

    assert server.token_requests == 0


async def test_a_code_counts_once_and_only_for_its_verifier(
    server: OidcServer, client: OutgoingClient
) -> None:
    """The provider refuses a replayed code, and one that another browser began."""
    oidc = provider(server, client)
    url, pending = await oidc.begin("/console")
    query = server.approve(url)
    await oidc.finish(query, pending)
    stolen = server.approve(url)

    for replayed, by in [(query, pending), (stolen, replace(pending, verifier="x" * 64))]:
        with pytest.raises(SignInError, match="400, 'invalid_grant'"):
            await oidc.finish(replayed, by)


async def test_a_provider_that_is_away_and_one_that_lies(
    server: OidcServer, client: OutgoingClient
) -> None:
    """A person can sign in by a code meanwhile."""
    away = provider(server, client, console_oidc_issuer="https://127.0.0.1:9")
    with pytest.raises(SignInError) as refused:
        await away.begin("/console")
    assert (refused.value.message, refused.value.is_away) == (AWAY, True)

    for document in [{"issuer": "https://login.example"}, {"token_endpoint": "http://127.0.0.1/"}]:
        server.document = document
        with pytest.raises(SignInError) as refused:
            await provider(server, client).begin("/console")
        assert refused.value.message == FAILED


def test_a_claim_may_be_in_another() -> None:
    claims = {"a.b": 1, "a": {"b": 2, "c": {"d": 3}}, "t": "x"}

    assert [claim_in(claims, name) for name in ("a.b", "a.c.d", "t.x", "z", "a.z")] == [
        *(1, 3, None, None, None)
    ]
