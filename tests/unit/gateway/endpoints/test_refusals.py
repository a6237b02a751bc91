"""What an endpoint refuses, and who learns why."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from ringback.services.gateway.instruments import MAX_ENDPOINT_LABELS
from tests.support.gateway_client import DEFAULT_ORG, PATH, SECRET, assert_problem
from tests.support.openssl import openssl_hmac
from tests.unit.gateway.endpoints.signing import BODY
from tests.unit.gateway.serving import serving

HANG = b'{"type": "hang"}'
HMAC = {"kind": "hmac", "algorithm": "sha256", "secret": SECRET, "payload": "{body}"}


def declared(**fields: Any) -> str:
    return json.dumps({"acme": {"org_id": DEFAULT_ORG, "secret": SECRET, **fields}})


ONLY_REPORTS = {"event_types": ["end-of-call-report"]}
SIGNED = {"secret": None, "credentials": [HMAC]}
WRONG_SIGNATURE = {"x-signature": "00" * 32}


@pytest.mark.parametrize(
    ("fields", "body", "headers", "status", "reason", "detail"),
    [
        ({"state": "disabled"}, HANG, {}, 403, "endpoint_disabled", "is disabled"),
        (ONLY_REPORTS, HANG, {}, 403, "event_type_not_allowed", "this type of event"),
        ({}, HANG, {"X-Vapi-Secret": "no"}, 401, "wrong_secret", "does not prove"),
        ({}, HANG, {"X-Vapi-Secret": ""}, 401, "no_secret", "does not prove"),
        # The signature is checked before the body is parsed.
        (SIGNED, b"no JSON", WRONG_SIGNATURE, 401, "wrong_signature", "does not prove"),
    ],
)
async def test_the_metric_names_endpoint_and_reason(
    fields: dict[str, Any],
    body: bytes,
    headers: Mapping[str, str],
    status: int,
    reason: str,
    detail: str,
) -> None:
    """The sender gets only a general text; nothing is stored."""
    async with serving(endpoints=declared(**fields)) as gateway:
        answer = await gateway.send(body, path=f"{PATH}/acme", headers=headers)

        assert_problem(answer, status, detail)
        assert gateway.metric("webhook_rejected_total", endpoint="acme", reason=reason) == 1
        assert not gateway.broker.published


async def test_a_signed_webhook_is_stored() -> None:
    """With the signature of its bytes, and under its message id if the endpoint says so."""
    credential = {**HMAC, "payload": "{svix-id}.{body}", "message_id_header": "svix-id"}
    endpoints = declared(secret=None, credentials=[credential], dedup_by="message_id")
    signature = openssl_hmac("sha256", SECRET.encode(), b"msg_1." + BODY).hex()
    async with serving(endpoints=endpoints) as gateway:
        answer = await gateway.send(
            BODY,
            path=f"{PATH}/acme",
            secret=None,
            headers={"x-signature": signature, "svix-id": "msg_1"},
        )

        envelope, body = gateway.take()
    assert answer.status == 200
    assert body == BODY
    assert envelope.dedup_key == "message_id|msg_1"


async def test_the_log_says_which_check_failed_and_what_came() -> None:
    """Each credential with its reason, and the names of the headers; no value of either."""
    endpoints = declared(credentials=[HMAC, {"kind": "bearer", "secret": "another secret"}])
    async with serving(endpoints=endpoints) as gateway:
        with capture_logs() as lines:
            await gateway.send(
                HANG,
                path=f"{PATH}/acme",
                secret="",
                headers={"Authorization": "Basic dXNlcjpwYXNz", "x-signature": "sha256=00"},
            )

    (line,) = [one for one in lines if one["event"] == "webhook.rejected"]
    assert (line["endpoint_id"], line["reason"]) == ("acme", "wrong_signature")
    assert line["checks"] == (
        "wrong_scheme: Authorization has another scheme than Bearer",
        "wrong_scheme: Authorization has another scheme than Bearer",
        "wrong_signature: x-signature is not 32 bytes (sha256) in hex",
    )
    assert line["auth_headers"] == ["X-Vapi-Secret (empty)", "Authorization", "x-signature"]
    assert "dXNlcjpwYXNz" not in str(lines)
    assert SECRET not in str(lines)


async def test_many_endpoints_make_few_series() -> None:
    """Beyond a number of endpoints that refuse senders, the rest share a label."""
    count = MAX_ENDPOINT_LABELS + 5
    endpoints = {f"e{n}": {"org_id": DEFAULT_ORG, "secret": SECRET} for n in range(count)}
    async with serving(endpoints=json.dumps(endpoints)) as gateway:
        for name in endpoints:
            await gateway.send(HANG, path=f"{PATH}/{name}", secret="no")

        counts = {
            name: gateway.metric("webhook_rejected_total", endpoint=name, reason="wrong_secret")
            for name in ("e0", f"e{count - 1}", "other")
        }
    assert counts == {"e0": 1, f"e{count - 1}": 0, "other": 5}
