"""Sends an endpoint webhooks that are signed as it declares, and explains the answers."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from uuid import uuid4

import aiohttp
import orjson
from multidict import CIMultiDict

from ringback.runtime.outgoing.signature import PREFIX, hmac_key, signature_headers
from ringback.services.gateway.endpoints.declared import EndpointEntry
from ringback.services.gateway.endpoints.declared_credentials import (
    BearerCredential,
    HeaderCredential,
    HmacCredential,
    OAuth2Credential,
    StandardWebhooksCredential,
)
from ringback.services.gateway.endpoints.endpoint import SECRET_HEADER
from ringback.services.gateway.endpoints.signatures import decode

EVENT_TYPE = "ringback.endpoint-test"
_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Probe:
    """One webhook to send. If `headers` is None, `note` says why it cannot be signed here."""

    name: str
    headers: dict[str, str] | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    probe: Probe
    is_proven: bool | None
    """Whether the gateway accepted the credential; None if nothing was sent."""
    words: str


def body_of(test_id: str) -> bytes:
    return orjson.dumps({"message": {"type": EVENT_TYPE, "testId": test_id}})


def probes(entry: EndpointEntry, body: bytes, now_s: float) -> Iterator[Probe]:
    """A webhook for each secret of each credential."""
    for secret in entry.secret or ():
        yield Probe(f"secret ({secret.source})", {SECRET_HEADER: secret.value})
    for place, credential in enumerate(entry.credentials):
        name = f"credentials.{place} {credential.kind}"
        if isinstance(credential, OAuth2Credential):
            yield from _token_probes(credential, name, now_s)
            continue
        for number, secret in enumerate(credential.secret):
            headers = _headers(credential, number, body, now_s)
            note = "" if headers else "only the sender has the private key"
            yield Probe(f"{name} ({secret.source})", headers, note)


def _token_probes(credential: OAuth2Credential, name: str, now_s: float) -> Iterator[Probe]:
    client = credential.client()
    if client is None:
        yield Probe(name, None, "only the OAuth2 server can issue its tokens; send one yourself")
        return
    for secret, declared in zip(client.secrets, credential.client_secret or (), strict=True):
        token, _ = client.token(secret, now_s)
        yield Probe(f"{name} ({declared.source})", {"Authorization": f"Bearer {token}"})


def _headers(
    credential: HeaderCredential | BearerCredential | HmacCredential | StandardWebhooksCredential,
    number: int,
    body: bytes,
    now_s: float,
) -> dict[str, str] | None:
    """The headers that prove the sender by one of the secrets; None if they cannot be made."""
    secret = credential.secret[number].value
    match credential:
        case HeaderCredential():
            return {credential.name: secret}
        case BearerCredential():
            return {credential.header: f"Bearer {secret}"}
        case HmacCredential():
            return _hmac_headers(credential, credential.keys()[number], body, now_s)
        case _:
            return _standard_headers(secret, body, now_s)


def _hmac_headers(
    credential: HmacCredential, key: bytes, body: bytes, now_s: float
) -> dict[str, str]:
    headers = {credential.timestamp_header: str(int(now_s))}
    if credential.message_id_header is not None:
        headers[credential.message_id_header] = f"msg_{uuid4().hex}"
    signer = credential.built()
    digest = signer.digest(key, CIMultiDict(headers), "POST", body)
    return {**headers, credential.signature_header: signer.encode(digest)}


def _standard_headers(secret: str, body: bytes, now_s: float) -> dict[str, str] | None:
    key = decode(secret.removeprefix(PREFIX), "base64")
    if key is None or not secret.startswith(PREFIX):
        return None
    message_id = f"msg_{uuid4().hex}"
    keys = [hmac_key(key)]
    return signature_headers(keys, message_id=message_id, at_s=int(now_s), body=body)


async def run(entry: EndpointEntry, url: str) -> list[Finding]:
    """Send each webhook. Raises ClientError if the gateway cannot be reached."""
    body = body_of(uuid4().hex)
    found = []
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        for probe in probes(entry, body, time.time()):
            if probe.headers is None:
                words = f"not sent: {probe.note}"
                found.append(Finding(probe, is_proven=None, words=words))
                continue
            headers = {"Content-Type": "application/json", **probe.headers}
            async with session.post(
                url, data=body, headers=headers, allow_redirects=False
            ) as response:
                answer = await response.content.read(64 * 1024)
                found.append(_finding(probe, response.status, answer))
    return found


_EXPLAINED: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "refused: the gateway has another secret than this file, or its clock "
    "differs. Its log line webhook.rejected has the check that failed",
    HTTPStatus.FORBIDDEN: "refused: this machine's address is in none of networks, or "
    "RINGBACK_TRUSTED_PROXIES lacks a proxy",
    HTTPStatus.NOT_FOUND: "the gateway has no such endpoint. Check that its "
    "RINGBACK_ENDPOINTS_FILE is this file. If it found mistakes there, its log line "
    "endpoints.rejected lists them",
}
"""What a status means, if the response has no clearer detail."""


def _finding(probe: Probe, status: int, answer: bytes) -> Finding:
    fields = _fields(answer)
    detail = str(fields.get("detail", ""))
    if status == HTTPStatus.OK:
        words = f"accepted as {fields.get('jobId', 'a webhook')}"
        return Finding(probe, is_proven=True, words=words)
    if "type of event" in detail:
        words = f"proven; event_types does not list {EVENT_TYPE}, so nothing was stored"
        return Finding(probe, is_proven=True, words=words)
    if "disabled" in detail:
        return Finding(probe, is_proven=False, words="refused: the endpoint is disabled (state)")
    words = _EXPLAINED.get(status, f"status {status} {detail}")
    return Finding(probe, is_proven=False, words=words)


def _fields(answer: bytes) -> dict[str, object]:
    try:
        document = orjson.loads(answer)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}
