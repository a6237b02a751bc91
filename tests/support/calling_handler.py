"""A handler that calls the URL in its event, which is on loopback, as a destination."""

from ringback.handlers import Event, handles
from ringback.outgoing import destination

CALL_TYPE = "test.call"

backend = destination(
    "backend", base_url="http://127.0.0.1/", allow_networks="127.0.0.0/8", open_s=0.5, timeout_s=60
)


@handles(CALL_TYPE)
async def call(event: Event) -> None:
    async with backend.session() as session, session.post(event.message["url"], data=b"") as answer:
        answer.raise_for_status()
