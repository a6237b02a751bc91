"""Both secrets are valid during a rotation, and the old one is invalid afterwards."""

import json

from tests.integration.gateway.running_gateway import running
from tests.support.gateway_client import PATH, settings_for

BODY = b'{"message": {"type": "hang", "call": {"id": "call-1"}}}'
OLD, NEW, NEVER = "the old secret of twenty", "the new secret of twenty", "never a secret of it"
ORG = "00000000-0000-4000-8000-00000000000a"


async def statuses(amqp_url: str, database_url: str, path: str = PATH, **more: str) -> list[int]:
    """The statuses for the old, the new and a wrong secret with these settings."""
    async with running(settings_for(amqp_url, database_url, **more)) as gateway:
        sent = [await gateway.send(BODY, path=path, secret=one) for one in (OLD, NEW, NEVER)]
    return [answer.status for answer in sent]


async def test_both_secrets_of_vapi_are_valid_during_a_rotation(
    ready_amqp_url: str, database_url: str
) -> None:
    """No secret that a sender may still use is rejected."""
    place = (ready_amqp_url, database_url)

    before = await statuses(*place, vapi_secret=OLD)
    meanwhile = await statuses(*place, vapi_secret=NEW, vapi_secret_previous=OLD)
    after = await statuses(*place, vapi_secret=NEW)

    assert (before, meanwhile, after) == ([200, 401, 401], [200, 200, 401], [401, 200, 401])


async def test_an_endpoint_may_have_several_secrets(ready_amqp_url: str, database_url: str) -> None:
    """The same for another endpoint, with a list."""
    endpoints = json.dumps({"acme": {"org_id": ORG, "secret": [NEW, OLD]}})

    meanwhile = await statuses(ready_amqp_url, database_url, f"{PATH}/acme", endpoints=endpoints)

    assert meanwhile == [200, 200, 401]
