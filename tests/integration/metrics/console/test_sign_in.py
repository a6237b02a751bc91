"""Signing in and out of the console by HTTP, as a browser does, and what a browser may send."""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from ringback.local.ports import free_ports
from ringback.metrics.v1.admin_service_pb2 import CreateConsoleCodeRequest
from ringback.runtime.outgoing.client import OutgoingClient
from ringback.services.metrics.app import console_binding, console_codes
from ringback.services.metrics.auth.access import Access
from ringback.services.metrics.console.codes import ConsoleCodes
from ringback.services.metrics.console.oidc import OidcProvider
from ringback.services.metrics.console.settings import ConsoleSettings
from ringback.services.metrics.console.sign_in import CALLBACK, SignIn
from ringback.services.metrics.slack.message import Links
from tests.integration.metrics.queried_log import OURS, as_org
from tests.integration.metrics.rest_client import server
from tests.support.certificate import client_tls
from tests.support.oidc_server import CLIENT_ID, CLIENT_SECRET, OidcServer, oidc_server
from tests.support.tokens import CONSOLE_SECRET, bearer
from tests.unit.metrics.transport.scripted_api import ScriptedApi

SAME = {"Sec-Fetch-Site": "same-origin"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors {}; "
    "require-trusted-types-for 'script'"
)


@dataclass(frozen=True, slots=True)
class Browser:
    """Keeps cookies, and follows no redirect."""

    session: aiohttp.ClientSession
    url: str
    codes: ConsoleCodes

    async def get(self, path: str, **headers: str) -> tuple[aiohttp.ClientResponse, str]:
        async with self.session.get(
            self.url + path, headers=headers, allow_redirects=False
        ) as answer:
            return answer, await answer.text()

    async def post(
        self, path: str, form: dict[str, str], headers: dict[str, str]
    ) -> tuple[aiohttp.ClientResponse, str]:
        async with self.session.post(
            self.url + path, data=form, headers=headers, allow_redirects=False
        ) as answer:
            return answer, await answer.text()

    async def code(self) -> str:
        answer = await self.codes.create_console_code(CreateConsoleCodeRequest(), as_org(OURS))
        return answer.code


def settings(**changes: Any) -> ConsoleSettings:
    return ConsoleSettings.model_validate({"console_secret": CONSOLE_SECRET, **changes})


@asynccontextmanager
async def browser(
    pool: asyncpg.Pool, console: ConsoleSettings, client: OutgoingClient | None = None
) -> AsyncGenerator[Browser]:
    """In front of a console whose API answers every call with nothing."""
    api = ScriptedApi()
    codes = console_codes(console, pool, Access(pool))
    callback = f"{console.console_address}{CALLBACK}"
    provider = OidcProvider(console, client, callback) if client else None
    sign_in = SignIn(api.authenticator, codes, provider, console)
    [port] = free_ports(1)
    binding = console_binding(console, api.dispatcher, sign_in, Links())
    jar = aiohttp.CookieJar(unsafe=True)
    async with server(api, port, console=binding), aiohttp.ClientSession(cookie_jar=jar) as session:
        yield Browser(session, f"http://127.0.0.1:{port}{console.console_path}", codes)


@pytest.fixture
async def visitor(pool: asyncpg.Pool) -> AsyncIterator[Browser]:
    async with browser(pool, settings(console_path="/ops/ringback")) as opened:
        yield opened


async def test_from_a_code_to_the_page_and_out_again(visitor: Browser) -> None:
    """The page that was wanted is shown after signing in, with who it is; signing out ends it."""
    base = re.sub(r"^http://[^/]+", "", visitor.url)
    wanted, page = await visitor.get("/?from=chat")
    assert wanted.status == 401
    assert f'name="next" value="{base}/?from=chat"' in page

    form = {"code": await visitor.code(), "next": f"{base}/?from=chat"}
    signed_in, _ = await visitor.post("/sign-in", form, SAME)
    assert (signed_in.status, signed_in.headers["Location"]) == (303, f"{base}/?from=chat")
    shown, page = await visitor.get("/")
    assert shown.status == 200
    assert "<bdi>test</bdi>" in page
    assert str(OURS) in page

    signed_out, _ = await visitor.post("/sign-out", {}, SAME)
    assert signed_out.headers["Location"] == f"{base}/sign-in?signed_out=1"
    assert (await visitor.get("/"))[0].status == 401


async def test_a_code_that_is_used_leads_nowhere(visitor: Browser) -> None:
    form = {"code": await visitor.code(), "next": "//evil.example"}
    first, _ = await visitor.post("/sign-in", form, SAME)
    visitor.session.cookie_jar.clear()

    second, page = await visitor.post("/sign-in", form, SAME)

    assert first.headers["Location"] == re.sub(r"^http://[^/]+", "", visitor.url)
    assert (second.status, "Set-Cookie" in second.headers) == (401, False)
    assert "was used before" in page
    assert "evil.example" not in page


#: Headers of a form, and whether it is accepted.
ORIGINS: list[tuple[dict[str, str], bool]] = [
    ({"Sec-Fetch-Site": "same-origin"}, True),
    ({"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"}, True),
    ({"Origin": "own"}, True),
    ({"Sec-Fetch-Site": "cross-site", "Origin": "own"}, False),
    ({"Sec-Fetch-Site": "same-site"}, False),
    ({"Sec-Fetch-Site": "none"}, False),
    ({"Sec-Fetch-Site": ""}, False),
    ({"Origin": "https://evil.example"}, False),
    ({"Origin": "null"}, False),
    ({"Referer": "own"}, False),
    ({}, False),
    ({"Authorization": "a proxy's", "Sec-Fetch-Site": "cross-site"}, False),
    ({"Authorization": "a proxy's"}, False),
]


@pytest.mark.parametrize("public", [None, "https://ops.example"], ids=["local", "proxy"])
async def test_another_site_changes_nothing(pool: asyncpg.Pool, public: str | None) -> None:
    """Its form is refused before it is read; behind a proxy, our origin is the proxy's."""
    async with browser(pool, settings(console_url=public)) as visitor:
        own = public or visitor.url.removesuffix("/console")
        values = {"own": own, "a proxy's": bearer()}
        for headers, is_accepted in ORIGINS:
            visitor.session.cookie_jar.clear()
            sent = {name: values.get(value, value) for name, value in headers.items()}
            form = {"code": await visitor.code()}

            answer, _ = await visitor.post("/sign-in", form, sent)
            out, _ = await visitor.post("/sign-out", {}, sent)

            assert answer.status == out.status == (303 if is_accepted else 403), headers
            assert ("Set-Cookie" in answer.headers) == is_accepted
            assert (await visitor.codes.use(form["code"]) is None) == is_accepted


async def test_a_token_in_the_header_takes_precedence(visitor: Browser) -> None:
    """A proxy adds it to each request; then nobody signs out here, and an invalid one is nobody."""
    await visitor.post("/sign-in", {"code": await visitor.code()}, SAME)

    shown, page = await visitor.get("/", Authorization=bearer(subject="grace"))
    refused, _ = await visitor.get(
        "/", Authorization=bearer(secret="another secret, of 32 bytes or more")
    )

    assert shown.status == 200
    assert "<bdi>grace</bdi>" in page
    assert "Sign out" not in page
    assert refused.status == 401


async def test_every_answer_has_the_headers(pool: asyncpg.Pool) -> None:
    """A page, the sign-in page, an error and a redirect."""
    ancestors = "'self' https://portal.example:8443"
    async with browser(
        pool, settings(console_frame_ancestors="self, https://portal.example:8443")
    ) as visitor:
        code = {"code": await visitor.code()}
        answers = [
            await visitor.get("/"),
            await visitor.get("/sign-in"),
            await visitor.post("/sign-in", {}, {}),
            await visitor.post("/sign-in", code, SAME),
            await visitor.get("/"),
            await visitor.get("/nowhere"),
        ]

    assert [answer.status for answer, _ in answers] == [401, 200, 403, 303, 200, 404]
    for answer, text in answers:
        assert answer.headers["Content-Security-Policy"] == POLICY.format(ancestors)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"
        assert not re.search(r"<script(?! type=\"module\" src)|<style| on\w+=| style=", text)


async def test_a_database_that_is_away_is_said(visitor: Browser, pool: asyncpg.Pool) -> None:
    await pool.close()

    answer, page = await visitor.post("/sign-in", {"code": "any"}, SAME)

    assert answer.status == 503
    assert "The database cannot be reached." in page


@pytest.fixture
async def oidc(tmp_path: Path) -> AsyncIterator[OidcServer]:
    async with oidc_server(tmp_path) as served:
        yield served


async def test_an_account_of_a_provider(
    pool: asyncpg.Pool, oidc: OidcServer, tmp_path: Path
) -> None:
    """The browser that began is signed in, once; another one with its address is not."""
    console = settings(
        console_url="http://ops.example",
        console_oidc_issuer=oidc.issuer,
        console_oidc_client_id=CLIENT_ID,
        console_oidc_client_secret=CLIENT_SECRET,
    )
    oidc.claims = {"role": "service", "sub": "ada"}
    network = (ip_network("127.0.0.1/32"),)
    async with (
        OutgoingClient(network, tls=client_tls(tmp_path)).running() as client,
        browser(pool, console, client) as visitor,
        aiohttp.ClientSession() as other,
    ):
        _, page = await visitor.get("/sign-in?next=/console/?a=b")
        begun, _ = await visitor.get("/oidc?next=/console/?a=b")
        callback = f"/oidc/callback?{oidc.approve(begun.headers['Location'])}"

        stolen, _ = await Browser(other, visitor.url, visitor.codes).get(callback)
        forged, _ = await visitor.get(re.sub(r"state=.*", "state=x", callback))
        done, _ = await visitor.get(callback)
        shown, shown_page = await visitor.get("/")
        replayed, _ = await visitor.get(callback)

    assert 'href="/console/oidc?next=%2Fconsole%2F%3Fa%3Db"' in page
    assert [stolen.status, forged.status, replayed.status] == [401] * 3
    assert (done.status, done.headers["Location"]) == (303, "/console/?a=b")
    assert shown.status == 200
    assert "<bdi>ada</bdi>" in shown_page
    assert oidc.token_requests == 1


async def test_a_provider_that_is_away(pool: asyncpg.Pool) -> None:
    """The page says so, and a code still signs in."""
    console = settings(
        console_url="http://ops.example",
        console_oidc_issuer="https://127.0.0.1:9",
        console_oidc_client_id=CLIENT_ID,
    )
    async with (
        OutgoingClient((ip_network("127.0.0.1/32"),)).running() as client,
        browser(pool, console, client) as visitor,
    ):
        away, page = await visitor.get("/oidc")
        signed_in, _ = await visitor.post("/sign-in", {"code": await visitor.code()}, SAME)

    assert away.status == 503
    assert "cannot be reached" in page
    assert signed_in.status == 303
