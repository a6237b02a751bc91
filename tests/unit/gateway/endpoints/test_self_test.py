"""`ringback endpoints test` against a running gateway."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pytest_aiohttp import AiohttpRawServer

from ringback.cli.app import run
from tests.support.gateway_client import DEFAULT_ORG, PATH
from tests.unit.gateway.serving import serving

URL_PAYLOAD = "{method}{url}{svix-id}.{timestamp}.{body}"
CREDENTIALS: dict[str, dict[str, Any]] = {
    "header": {"kind": "header", "name": "X-Api-Key", "secret": "hush-hush"},
    "bearer": {"kind": "bearer", "header": "X-Token", "secret": "hush-hush"},
    "hmac": {"kind": "hmac", "algorithm": "sha256", "secret": "hush-hush"},
    "hmac with all fields": {
        "kind": "hmac",
        "algorithm": "sha512",
        "secret": "c2VjcmV0",
        "secret_is_base64": True,
        "signature_header": "x-vapi-signature",
        "timestamp_header": "x-sent",
        "message_id_header": "x-id",
        "payload": URL_PAYLOAD,
        "url": "https://hooks.example.com/",
        "encoding": "base64",
        "prefix": "v0=",
    },
    "oauth2": {"kind": "oauth2", "client_id": "vapi", "client_secret": "hush-hush-hush-hush-hush"},
    "standard_webhooks": {"kind": "standard_webhooks", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZI"},
}


def declared(*credentials: dict[str, Any], **fields: Any) -> str:
    return json.dumps({"acme": {"org_id": DEFAULT_ORG, "credentials": credentials, **fields}})


async def output_of(file: Path, port: int, capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit status and the output of the command."""
    arguments = ["endpoints", "test", "acme", "--file", str(file)]
    url = f"http://127.0.0.1:{port}"
    capfd.readouterr()
    status = await asyncio.to_thread(run, [*arguments, "--url", url])
    captured = capfd.readouterr()
    return status, " ".join((captured.out + captured.err).split())


@pytest.mark.parametrize("name", list(CREDENTIALS))
async def test_each_kind_is_proven_or_the_difference_is_explained(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    """By the gateway that runs: the file here may differ from what it has read."""
    credential = CREDENTIALS[name]
    field = "client_secret" if name == "oauth2" else "secret"
    wrong_secret = "whsec_b3RoZXI=" if "standard" in name else "b3RoZXIsIGFuZCBsb25nZXI9"
    other = {**credential, field: wrong_secret}
    file, wrong = tmp_path / "right.json", tmp_path / "wrong.json"
    file.write_text(f'{{"endpoints": {declared(credential)}}}')
    wrong.write_text(f'{{"endpoints": {declared(other)}}}')
    async with serving(endpoints=declared(credential), vapi_secret="") as gateway:
        right = await output_of(file, gateway.port, capfd)
        envelope, _ = gateway.take()
        refused = await output_of(wrong, gateway.port, capfd)

    assert right[0] == 0
    assert f"accepted as {envelope.job_id}" in right[1]
    assert envelope.event_type == "ringback.endpoint-test"
    assert refused[0] == 1
    assert "another secret than this file" in refused[1]
    assert credential[field] not in right[1] + refused[1]


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"event_types": ["hang"]}, 0, "proven; event_types does not list"),
        ({"state": "disabled"}, 1, "the endpoint is disabled"),
        ({"networks": ["192.0.2.0/24"]}, 1, "is in none of networks"),
    ],
)
async def test_other_refusals_are_explained(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    fields: dict[str, Any],
    status: int,
    words: str,
) -> None:
    """Each with the field that causes it."""
    text = declared(CREDENTIALS["header"], **fields)
    file = tmp_path / "endpoints.json"
    file.write_text(f'{{"endpoints": {text}}}')
    async with serving(endpoints=text, vapi_secret="") as gateway:
        found = await output_of(file, gateway.port, capfd)

    assert found[0] == status
    assert words in found[1]


async def test_what_cannot_be_tested_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """What only others can sign, an endpoint that the gateway lacks, and no gateway at all."""
    token = {"kind": "oauth2", "audience": "a", "jwks_url": "https://login.example.com/keys"}
    public = {"kind": "standard_webhooks", "secret": f"whpk_{'A' * 43}="}
    file = tmp_path / "endpoints.json"
    all_three = json.loads(declared(token, public, CREDENTIALS["header"]))
    file.write_text(json.dumps({"endpoints": all_three}))
    async with serving() as gateway:
        found = await output_of(file, gateway.port, capfd)
        port = gateway.port
    silent = await output_of(file, port, capfd)

    assert found[0] == 1
    assert "only the OAuth2 server can issue its tokens" in found[1]
    assert "only the sender has the private key" in found[1]
    assert "the gateway has no such endpoint" in found[1]
    assert PATH in found[1]
    assert silent[0] == 1
    assert "cannot be reached" in silent[1]


async def test_what_a_hostile_gateway_answers_stays_on_its_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], aiohttp_raw_server: AiohttpRawServer
) -> None:
    """It cannot forge a line that says that a credential is proven."""

    async def answer(_: web.BaseRequest) -> web.Response:  # ruff: ignore[unused-async]  # aiohttp awaits it
        return web.json_response({"detail": "no\nforged: accepted\x1b[2J"}, status=418)

    file = tmp_path / "right.json"
    file.write_text(f'{{"endpoints": {declared(CREDENTIALS["header"])}}}')
    url = str((await aiohttp_raw_server(answer)).make_url("/"))
    arguments = ["endpoints", "test", "acme", "--file", str(file), "--url", url]
    status = await asyncio.to_thread(run, arguments)
    printed = capfd.readouterr().out

    assert status == 1
    assert "status 418 no forged: accepted" in printed
    assert "\x1b[2J" not in printed
