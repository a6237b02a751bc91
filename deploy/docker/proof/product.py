"""Uses the images' entry points as a person would: set up, take a webhook, finish it, stop."""

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol

import aiohttp
import asyncpg

from deploy.docker.proof.stages import Image

SERVICES = ("gateway", "processor", "metrics")
FINISHED = "SELECT status = 'completed' FROM webhook_delivery_log WHERE id = $1::uuid"
READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 40.0
_POLL_S = 0.1
EVENT = {"message": {"type": "status-update", "status": "ended", "call": {"id": "proof"}}}


class ProofError(Exception):
    """The product does not do what it must; the text says what."""


class Running(Protocol):
    """A process in a container, or in what stands for one."""

    async def ended(self) -> tuple[int, str]:
        """Wait for its end: the exit status, and what it said."""

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""

    def kill(self) -> None:
        """End it by force, if it still runs."""


Start = Callable[[Image, Sequence[str], Mapping[str, str]], Awaitable[Running]]
"""Starts words in a container of an image, with these variables beside those of the image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """The images, how to start one, and the variables of each, as an operator would give them."""

    images: Mapping[str, Image]
    start: Start
    variables: Mapping[str, Mapping[str, str]]
    database_url: str
    gateway_url: str
    say: Callable[[str], None] = lambda _: None

    async def migrate(self) -> None:
        """Make the tables. This and what follows raises ProofError."""
        await self._job("migrate")

    async def declare(self) -> None:
        """Make the queues."""
        await self._job("topology", "apply")
        await self._job("topology", "check")

    async def serve(self) -> None:
        """Start the services, have a webhook taken and finished, and tell them to stop."""
        async with AsyncExitStack() as stack:
            running = {}
            for name in SERVICES:
                image = self.images[name]
                words = [*image.entrypoint, *image.command]
                running[name] = await self.start(image, words, self.variables[name])
                stack.callback(running[name].kill)
            await asyncio.gather(*(self._healthy(name) for name in SERVICES))
            self.say("All three services are ready, by the images' health checks.")
            job_id = await self._post()
            await self._finished(job_id)
            self.say(f"The webhook {job_id} is completed.")
            for name in SERVICES:
                running[name].tell(signal.SIGTERM)
            for name in SERVICES:
                await self._ended_well(name, running[name])

    async def _job(self, *words: str) -> None:
        image = self.images["ringback"]
        command = [*image.entrypoint, *words]
        status, said = await (await self.start(image, command, self.variables["ringback"])).ended()
        if status:
            raise ProofError(f"{' '.join(words)} ended with {status}:\n{said}")
        self.say(f"ringback {' '.join(words)}: {said.strip().splitlines()[-1]}")

    async def _healthy(self, name: str) -> None:
        """By the command of HEALTHCHECK, and then by readiness too."""
        deadline = time.monotonic() + READY_WITHIN_S
        for words in (self.images[name].health, [*self.images[name].health, "--ready"]):
            while True:
                check = await self.start(self.images[name], words, self.variables[name])
                status, said = await check.ended()
                if status == 0:
                    break
                if time.monotonic() > deadline:
                    raise ProofError(f"The {name} is not healthy: {said}")
                await asyncio.sleep(_POLL_S)

    async def _post(self) -> str:
        secret = self.variables["gateway"]["RINGBACK_VAPI_SECRET"]
        async with (
            aiohttp.ClientSession() as client,
            client.post(self.gateway_url, json=EVENT, headers={"X-Vapi-Secret": secret}) as answer,
        ):
            said = await answer.text()
            if not answer.ok:
                raise ProofError(f"The gateway answers {answer.status}: {said}")
            return str(json.loads(said)["jobId"])

    async def _finished(self, job_id: str) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        connection = await asyncpg.connect(self.database_url)
        try:
            while not await connection.fetchval(FINISHED, job_id):
                if time.monotonic() > deadline:
                    raise ProofError(f"The webhook {job_id} is not finished.")
                await asyncio.sleep(_POLL_S)
        finally:
            await connection.close()

    async def _ended_well(self, name: str, process: Running) -> None:
        async with asyncio.timeout(STOPPED_WITHIN_S):
            status, said = await process.ended()
        if status:
            raise ProofError(f"The {name} ended with {status} after SIGTERM:\n{said[-4000:]}")
        self.say(f"The {name} ended with 0 after SIGTERM.")
