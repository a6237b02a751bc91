"""Whether the work queue still gets what is published."""

from ringback.contract.topology import WEBHOOKS, WORK_BINDING
from ringback.runtime.management_api import ManagementError, management_api


class BindingWatch:
    """Asks the broker's management API: AMQP does not tell bindings.

    Without its binding the queue stays empty, and all that is published goes to the dead letters.
    """

    def __init__(self, url: str | None, amqp_url: str) -> None:
        self._url = url
        self._amqp_url = amqp_url

    async def is_bound(self) -> bool:
        """False only if the API says that it is not. One that is not set, or away, says nothing."""
        if self._url is None:
            return True
        try:
            async with management_api(self._url, self._amqp_url) as api:
                return WORK_BINDING in await api.bindings_from(WEBHOOKS)
        except ManagementError:
            return True
