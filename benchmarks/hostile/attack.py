"""An attack as a separate process. It prints the answers that it got, as one line of JSON.

    python -m benchmarks.hostile.attack idle http://127.0.0.1:8080/api/webhooks/vapi

Use it only against your own installation.
"""

import argparse
import asyncio
import json
import os
import resource
from collections import Counter
from urllib.parse import urlsplit

import uvloop

from benchmarks.hostile.attacks import ATTACKS, Attack, Target
from benchmarks.hostile.connection import connect

_SECRET = "RINGBACK_VAPI_SECRET"  # ruff: ignore[hardcoded-password-string]  # the name of a variable
_CONNECTING = 200
"""How many connections may be opening at once."""


async def attack(what: Attack, target: Target, connections: int, seconds: float) -> Counter[str]:
    """Keep this many attackers busy for this long. A closed connection is opened again."""
    answers: Counter[str] = Counter()
    gate = asyncio.Semaphore(_CONNECTING)

    async def attacker() -> None:
        while True:
            async with gate:
                connection = await connect(target.host, target.port, answers)
            if connection is not None:
                try:
                    await what(connection, target)
                finally:
                    connection.leave()

    attackers = [asyncio.create_task(attacker()) for _ in range(connections)]
    done, _ = await asyncio.wait(attackers, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for one in attackers:
        one.cancel()
    await asyncio.gather(*attackers, return_exceptions=True)
    for one in done:
        one.result()
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("attack", choices=sorted(ATTACKS))
    parser.add_argument("url")
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    url = urlsplit(options.url)
    target = Target(
        url.hostname or "127.0.0.1", url.port or 80, url.path, os.environ.get(_SECRET, "")
    )
    _raise_open_files()
    answers = uvloop.run(
        attack(ATTACKS[options.attack], target, options.connections, options.seconds)
    )
    print(json.dumps(answers))


def _raise_open_files() -> None:
    """Allow this process as many open files as the system lets it have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
