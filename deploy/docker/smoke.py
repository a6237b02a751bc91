"""Send webhooks to a running Ringback, and wait until the metrics API reports them as completed.

python -m deploy.docker.smoke --webhooks http://127.0.0.1:8080 --metrics http://127.0.0.1:8081 \
    --prometheus http://127.0.0.1:9190

RINGBACK_VAPI_SECRET is what the gateway expects, and RINGBACK_JWT_SECRET signs the token for the
metrics API. With --prometheus, every target must be up and every rule healthy. The exit status is
1 with a sentence if anything is wrong.
"""

import argparse
import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from ringback.cli.client.addresses import WEBHOOK_PATH
from ringback.cli.client.signing import Claims, signer
from ringback.cli.terminal import BadInputError
from ringback.runtime.process.settings import SettingsError

_OK = 200
_POLL_S = 0.5
_REQUEST = aiohttp.ClientTimeout(total=30)


class SmokeError(Exception):
    """What is wrong, as a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoke:
    """Addresses without a path; `within_s` is how long to wait for each part."""

    webhooks: str
    metrics: str
    prometheus: str | None
    secret: str
    token: str
    count: int
    within_s: float

    async def run(self) -> str:
        """Return what was checked. Raises SmokeError."""
        headers = {"Content-Type": "application/json", "X-Vapi-Secret": self.secret}
        run = secrets.token_hex(4)
        async with aiohttp.ClientSession(timeout=_REQUEST) as http:
            job_ids = [
                await self._accepted(http, headers, f"smoke-{run}-{number}")
                for number in range(self.count)
            ]
            for job_id in job_ids:
                await self._completed(http, job_id)
            done = f"{len(job_ids)} webhooks were accepted and completed."
            if self.prometheus is None:
                return done
            targets, rules = await self._scraped(http, self.prometheus)
        return f"{done} Prometheus scrapes {targets} targets and evaluates {rules} rules."

    async def _accepted(
        self, http: aiohttp.ClientSession, headers: Mapping[str, str], call_id: str
    ) -> str:
        message = {"type": "status-update", "status": "ended", "timestamp": time.time_ns() // 10**6}
        body = json.dumps({"message": message | {"call": {"id": call_id}}})
        url = self.webhooks.rstrip("/") + WEBHOOK_PATH
        try:
            async with http.post(url, data=body, headers=headers) as answer:
                status, text = answer.status, await answer.text()
        except (aiohttp.ClientError, TimeoutError) as exc:
            raise SmokeError(f"The gateway at {url} cannot be reached: {_reason(exc)}.") from exc
        if status != _OK:
            raise SmokeError(f"The gateway at {url} answered {status} to a webhook: {text}")
        return str(json.loads(text)["jobId"])

    async def _completed(self, http: aiohttp.ClientSession, job_id: str) -> None:
        url = f"{self.metrics.rstrip('/')}/api/webhook-metrics/deliveries/{job_id}"
        headers = {"Authorization": f"Bearer {self.token}"}
        deadline = time.monotonic() + self.within_s
        while True:
            try:
                async with http.get(url, headers=headers) as answer:
                    text = await answer.text()
                    # A webhook that was just accepted may not have its row yet.
                    last = f"The metrics API answered {answer.status}: {text[:500]}"
                    if answer.status == _OK and _status_in(text) == "completed":
                        return
            except (aiohttp.ClientError, TimeoutError) as exc:
                last = f"The metrics API at {self.metrics} cannot be reached: {_reason(exc)}."
            if time.monotonic() > deadline:
                late = f"Webhook {job_id} is not completed after {self.within_s:g} s."
                raise SmokeError(f"{late} {last}")
            await asyncio.sleep(_POLL_S)

    async def _scraped(self, http: aiohttp.ClientSession, url: str) -> tuple[int, int]:
        deadline = time.monotonic() + self.within_s
        while True:
            try:
                targets = (await _asked(http, f"{url}/api/v1/targets"))["activeTargets"]
                groups = (await _asked(http, f"{url}/api/v1/rules"))["groups"]
            except (aiohttp.ClientError, TimeoutError) as exc:
                problems = [_reason(exc)]
            else:
                rules = [rule for group in groups for rule in group["rules"]]
                problems = _problems(targets, rules)
                if not problems:
                    return len(targets), len(rules)
            if time.monotonic() > deadline:
                late = f"Prometheus at {url} is not healthy after {self.within_s:g} s"
                raise SmokeError(f"{late}: {'; '.join(problems)}")
            await asyncio.sleep(_POLL_S)


async def _asked(http: aiohttp.ClientSession, url: str) -> Any:
    async with http.get(url, raise_for_status=True) as answer:
        return (await answer.json())["data"]


def _problems(
    targets: Sequence[Mapping[str, Any]], rules: Sequence[Mapping[str, Any]]
) -> list[str]:
    found = [] if targets and rules else ["it has no targets or no rules"]
    found += [f"{one['scrapeUrl']} is {one['health']}" for one in targets if one["health"] != "up"]
    found += [
        f"the rule {one['name']} is {one['health']}" for one in rules if one["health"] != "ok"
    ]
    return found


def _status_in(text: str) -> str:
    return str(json.loads(text)["delivery"]["status"])


def _reason(exc: BaseException) -> str:
    return str(exc) or type(exc).__name__


def _given(arguments: Sequence[str] | None) -> Smoke:
    parser = argparse.ArgumentParser(prog="python -m deploy.docker.smoke")
    parser.add_argument("--webhooks", default="http://127.0.0.1:8080", help="the gateway")
    parser.add_argument("--metrics", default="http://127.0.0.1:8081", help="the metrics API")
    parser.add_argument("--prometheus", help="check its targets and rules, too")
    parser.add_argument("--count", type=int, default=10, help="how many webhooks")
    parser.add_argument("--within", type=float, default=120.0, help="seconds to wait")
    given = parser.parse_args(arguments)
    claims = Claims("service", None, "smoke test", 3600)
    return Smoke(
        webhooks=given.webhooks,
        metrics=given.metrics,
        prometheus=given.prometheus,
        secret=os.environ.get("RINGBACK_VAPI_SECRET", ""),
        token=signer(os.environ, Path(".ringback")).token(claims),
        count=given.count,
        within_s=given.within,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        print(asyncio.run(_given(arguments).run()))
    except (SmokeError, BadInputError, SettingsError) as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
