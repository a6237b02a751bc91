"""Checks that the work queue still receives what is published."""

from ringback.contract.topology import WEBHOOKS, WORK_BINDING
from ringback.runtime.amqp.management_api import ManagementError, management_api


class BindingWatch:
    """Ask the broker's management API, because AMQP cannot list bindings.

    Without its binding the queue stays empty, and everything published becomes a dead letter.
    """

    def __init__(self, url: str | None, amqp_url: str) -> None:
        self._url = url
        self._amqp_url = amqp_url

    async def is_bound(self) -> bool:
        """False only if the API reports no binding. A missing or unreachable API proves nothing."""
        if self._url is None:
            return True
        try:
            async with management_api(self._url, self._amqp_url) as api:
                return WORK_BINDING in await api.bindings_from(WEBHOOKS)
        except ManagementError:
            return True
