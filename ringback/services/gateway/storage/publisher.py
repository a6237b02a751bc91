"""Publishes webhooks, and names how each publish ended."""

from dataclasses import dataclass

from aiormq.exceptions import DeliveryError

from ringback.contract import topology
from ringback.contract.envelope import Envelope
from ringback.contract.retry_schedule import BULK_KEY, FIRST_ATTEMPT, routing_key
from ringback.runtime.amqp.connection import BROKER_UNAVAILABLE_ERRORS
from ringback.runtime.amqp.message_properties import encode_properties
from ringback.runtime.amqp.publisher import BlockedError, NotConnectedError, Publisher
from ringback.services.gateway.storage.result import PublishOutcome

ROUTING_KEY = routing_key(FIRST_ATTEMPT)


@dataclass(frozen=True, slots=True)
class WebhookPublisher:
    publisher: Publisher

    @property
    def is_connected(self) -> bool:
        return self.publisher.is_connected

    async def is_ready(self) -> bool:
        """Whether a publish may succeed now, and the exchange and its queues exist.

        If the binding is missing, the alternate exchange routes webhooks to the dead letters: an
        alert fires, and nothing is lost.
        """
        return await self.publisher.is_ready()

    async def publish(self, envelope: Envelope, body: bytes, *, timeout_s: float) -> PublishOutcome:
        """Publish as a first attempt. Raises nothing, whatever the broker does."""
        try:
            await self.publisher.send(
                body,
                encode_properties(envelope),
                exchange=topology.WEBHOOKS,
                routing_key=BULK_KEY if envelope.is_bulk else ROUTING_KEY,
                timeout_s=timeout_s,
            )
        except NotConnectedError:
            return PublishOutcome.NOT_CONNECTED
        except BlockedError:
            return PublishOutcome.BLOCKED
        except TimeoutError:
            return PublishOutcome.TIMEOUT
        except DeliveryError:
            return PublishOutcome.REFUSED
        except BROKER_UNAVAILABLE_ERRORS:
            return PublishOutcome.CONNECTION_LOST
        return PublishOutcome.CONFIRMED
