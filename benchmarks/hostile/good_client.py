"""A client that sends webhooks as usual during an attack."""

import asyncio
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field

import aiohttp

from ringback.cli.load.load_generator import percentile
from ringback.samples import sample

_CALL_ID = b"0198a000-0000-7000-8000-0000000000c1"
_TIMEOUT_S = 20.0
"""How long Vapi waits for an answer."""

_EACH_S = 0.05
_NEW_EVERY = 4


@dataclass(slots=True)
class GoodAnswers:
    """Which answers the good client got, and how long each took."""

    answers: Counter[str] = field(default_factory=Counter)
    took_s: list[float] = field(default_factory=list)

    @property
    def all_good(self) -> bool:
        return set(self.answers) == {"200"}

    def percentile_ms(self, percent: int) -> float:
        return (percentile(self.took_s, percent) or 0.0) * 1000


async def send_webhooks(url: str, secret: str, seconds: float) -> GoodAnswers:
    """Send 20 a second, each fourth over a new connection, whether or not answers arrive."""
    answers = GoodAnswers()
    headers = {"X-Vapi-Secret": secret, "Content-Type": "application/json"}
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    body = sample("end-of-call-report")
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:

        async def post(number: int) -> None:
            unique = body.replace(_CALL_ID, str(uuid.uuid4()).encode())
            close = {"Connection": "close"} if number % _NEW_EVERY == 0 else {}
            began = time.perf_counter()
            try:
                async with session.post(url, data=unique, headers=close) as answer:
                    await answer.read()
                    answers.answers[str(answer.status)] += 1
            except (aiohttp.ClientError, TimeoutError) as exc:
                answers.answers[type(exc).__name__] += 1
            answers.took_s.append(time.perf_counter() - began)

        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(seconds / _EACH_S)):
                await asyncio.sleep(max(0.0, begun + number * _EACH_S - time.perf_counter()))
                group.create_task(post(number))
    return answers
