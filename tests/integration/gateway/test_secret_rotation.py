"""While a secret is replaced both are good, and afterwards the old one is not."""

import json

from tests.integration.gateway.running_gateway import PATH, running, settings_for

BODY = b'{"message": {"type": "hang", "call": {"id": "call-1"}}}'
OLD, NEW, NEVER = "the old secret of twenty", "the new secret of twenty", "never a secret of it"
ORG = "00000000-0000-4000-8000-00000000000a"


async def answers(amqp_url: str, database_url: str, path: str = PATH, **more: str) -> list[int]:
    """What the old, the new and a wrong secret are answered by a gateway with these settings."""
    async with running(settings_for(amqp_url, database_url, **more)) as gateway:
        sent = [await gateway.send(BODY, path=path, secret=one) for one in (OLD, NEW, NEVER)]
    return [answer.status for answer in sent]


async def test_both_secrets_of_vapi_are_good_while_one_replaces_the_other(
    ready_amqp_url: str, database_url: str
) -> None:
    """Before, meanwhile, and after: nothing that a sender may still use is refused."""
    place = (ready_amqp_url, database_url)

    before = await answers(*place, vapi_secret=OLD)
    meanwhile = await answers(*place, vapi_secret=NEW, vapi_secret_previous=OLD)
    after = await answers(*place, vapi_secret=NEW)

    assert (before, meanwhile, after) == ([200, 401, 401], [200, 200, 401], [401, 200, 401])


async def test_an_endpoint_may_have_several_secrets(ready_amqp_url: str, database_url: str) -> None:
    """The same for an organisation's own endpoint, by a list."""
    endpoints = json.dumps({"acme": {"org_id": ORG, "secret": [NEW, OLD]}})

    meanwhile = await answers(ready_amqp_url, database_url, f"{PATH}/acme", endpoints=endpoints)

    assert meanwhile == [200, 200, 401]
