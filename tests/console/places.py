"""The addresses of all pages, and what a tenant must not see on them."""

from dataclasses import dataclass

from tests.integration.metrics.filled_service import FilledService


@dataclass(frozen=True, slots=True)
class Place:
    path: str
    status: int = 200


def origin(service: FilledService) -> str:
    return f"http://127.0.0.1:{service.process.rest_port}"


#: These need no data.
PLAIN = (
    Place(""),
    Place("/failures"),
    Place("/search"),
    Place("/search?q=type:call.ended"),
    Place("/search?q=status:nothing", 400),
    Place("/runs"),
    Place("/runs/new"),
    Place("/runs/new?kind=completed&type=call.ended&since=24h"),
    Place("/endpoints"),
    Place("/changes"),
    Place("/sign-in"),
    Place("/nothing", 404),
    Place("/webhooks/0198a000-0000-7000-8000-000000000001", 404),
    Place("/runs/0198a000-0000-7000-8000-000000000001", 404),
)


def places(service: FilledService) -> tuple[Place, ...]:
    """All pages of the data of `service`."""
    first, second, *_ = service.dead
    webhooks = (service.completed, first, second, *service.duplicates, service.waiting)
    return (
        *PLAIN,
        Place("/failures/group?type=call.ended&error=ConnectionError"),
        Place(f"/failures/group?type=call.ended&error=ConnectionError&tried={first}&done=1"),
        *(Place(f"/webhooks/{job_id}") for job_id in webhooks),
    )
