"""A service's answer at /readyz."""

from dataclasses import dataclass

import aiohttp
import orjson

from ringback.local.console import printable

_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class ServiceHealth:
    """`missing` names the failed checks; a service that does not answer has no checks."""

    name: str
    url: str
    answers: bool
    ready: bool
    missing: tuple[str, ...] = ()


async def service_health(name: str, url: str) -> ServiceHealth:
    """Ask one service at its observability port, such as http://127.0.0.1:9101."""
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as client,
            client.get(f"{url}/readyz") as answer,
        ):
            checks = orjson.loads(await answer.read())["checks"]
            missing = tuple(printable(check) for check, passed in checks.items() if not passed)
            return ServiceHealth(name, url, answers=True, ready=answer.ok, missing=missing)
    except (OSError, TimeoutError, aiohttp.ClientError, ValueError, KeyError, TypeError):
        return ServiceHealth(name, url, answers=False, ready=False)
