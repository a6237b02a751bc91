"""KEDA can read the management API with only the rights of its account."""

from urllib.parse import quote_plus, urlsplit

import aiohttp

from ringback.contract.broker_access import VHOST
from ringback.contract.topology import BULK_QUEUE, WORK_QUEUE
from ringback.local.broker import PrivateBroker
from tests.deploy.rendered import Manifest, component, name_of

PASSWORD = "of-the-autoscaler"


def asked_by_keda(metadata: Manifest, management_url: str) -> str:
    """The URL that its scaler `rabbitmq` builds from a trigger, for the local broker."""
    host = urlsplit(metadata["host"])
    assert host.scheme == "http"
    assert host.path in {"", "/"}, "a path would be read as the virtual host"
    path = f"/api/queues/{quote_plus(metadata['vhostName'])}/{quote_plus(metadata['queueName'])}"
    return management_url + path


async def test_the_autoscalers_account_may_read_queue_lengths(broker: PrivateBroker) -> None:
    """For queues that it may neither consume nor delete."""
    objects = {name_of(one): one for one in component("rabbitmq-operator") + component("keda")}
    user, permission = objects["User/autoscaler"], objects["Permission/autoscaler"]["spec"]
    triggers = objects["ScaledObject/processor"]["spec"]["triggers"]
    keda = {"Authorization": aiohttp.encode_basic_auth("autoscaler", PASSWORD)}
    urls = [asked_by_keda(trigger["metadata"], broker.management_url) for trigger in triggers]
    told, refused = [], []
    account, rights = "/api/users/autoscaler", permission["permissions"]
    async with broker.management() as api:
        try:
            await api.put(f"/api/vhosts/{VHOST}", raise_for_status=True)
            tags = ",".join(user["spec"]["tags"])
            login = {"password": PASSWORD, "tags": tags}
            await api.put(account, json=login, raise_for_status=True)
            await api.put(
                f"/api/permissions/{VHOST}/autoscaler", json=rights, raise_for_status=True
            )
            kind = {"durable": True, "arguments": {"x-queue-type": "quorum"}}
            for queue in (WORK_QUEUE, BULK_QUEUE):
                await api.put(f"/api/queues/{VHOST}/{queue}", json=kind, raise_for_status=True)

            for url in urls:
                async with api.get(url, headers=keda, raise_for_status=True) as answer:
                    told.append((await answer.json())["name"])
                async with api.delete(url, headers=keda) as answer:
                    refused.append(answer.status)
        finally:
            await api.delete(f"/api/vhosts/{VHOST}")
            await api.delete(account)

    assert told == [WORK_QUEUE, BULK_QUEUE]
    assert set(refused) <= {401, 403}
