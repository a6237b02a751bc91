"""`python -m chaos outage --part destination`: what waits for a service, and how it is released."""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import uvloop

from chaos import delivery_log
from chaos.load.process import RunningLoad, running_load
from chaos.load.webhook import Mix
from chaos.shop import Mode
from chaos.stage import Stage, running_stage
from chaos.verdict import Verdict
from ringback.cli.terminal import EXIT_FAILED, out
from ringback.runtime.postgres.queries import load

_FAILING_PROBES_EACH_S = 20.0
_FIRST_FAILURES = 15
_SAMPLE_S = 1.0
_NORMAL_S = 10.0
_FINISHED_WITHIN_S = 90.0
_DRAINS_WITHIN_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    verdict: Verdict
    failed_calls: int
    waiting: int
    """Webhooks that waited when the service came back."""
    detected_s: float
    """From its return until the first call succeeded."""
    drained_s: float
    """From its return until nothing waited any more."""
    normal_per_s: float
    """Calls a second before the outage."""
    peak_per_s: float
    """The most calls in a second after its return, over five seconds."""


def measure_destination(seconds: float, rate: float) -> int:
    """Print the result. Return 0 if all finished once and only the first failures cost attempts."""
    measured = uvloop.run(_measure(seconds, rate))
    verdict = measured.verdict
    out().print(
        f"The destination failed for {seconds:g} s at {rate:g} webhooks/s.\n"
        f"{verdict.offered} offered, {verdict.accepted} accepted, {verdict.finished} finished, "
        f"{len(verdict.lost)} lost, {len(verdict.twice)} finished twice, "
        f"{verdict.dead_letters} dead letters\n"
        f"{measured.failed_calls} calls failed, {verdict.wasted_attempts} attempts used by them\n"
        f"{measured.waiting} webhooks waited; its return was noticed after "
        f"{measured.detected_s:.1f} s, and nothing waited after {measured.drained_s:.1f} s\n"
        f"calls a second: {measured.normal_per_s:.0f} before, at most {measured.peak_per_s:.0f} "
        "after its return"
    )
    allowed = _FIRST_FAILURES + seconds / _FAILING_PROBES_EACH_S
    is_good = (
        verdict.finished == verdict.accepted
        and not verdict.lost
        and not verdict.twice
        and not verdict.dead_letters
        and measured.failed_calls <= allowed
        and verdict.wasted_attempts <= _FIRST_FAILURES
    )
    return 0 if is_good else EXIT_FAILED


async def _measure(seconds: float, rate: float) -> Measured:
    with tempfile.TemporaryDirectory(prefix="ringback-chaos-") as folder:
        async with running_stage(Path(folder), is_measured=True) as stage:
            ledger = stage.folder / "destination.jsonl"
            async with running_load(
                stage.url, ledger, Mix(is_resending=False, is_calling=True), per_s=rate
            ) as sending:
                await sending.steady()
                return await _play(stage, sending, seconds)


async def _play(stage: Stage, sending: RunningLoad, seconds: float) -> Measured:
    shop = stage.shop
    before = shop.served
    await asyncio.sleep(_NORMAL_S)
    normal_per_s = (shop.served - before) / _NORMAL_S
    began_at = time.time()
    shop.become(Mode.FAILS)
    await asyncio.sleep(seconds)
    waiting = await _waiting(stage)
    shop.become(Mode.WORKS)
    returned, ended_at = time.monotonic(), time.time()
    await shop.works_again.wait()
    detected_s = time.monotonic() - returned
    samples = [(time.monotonic(), shop.served)]
    while await _waiting(stage) and time.monotonic() - returned < _DRAINS_WITHIN_S:
        await asyncio.sleep(_SAMPLE_S)
        samples.append((time.monotonic(), shop.served))
    drained_s = time.monotonic() - returned
    await sending.stop()
    return Measured(
        verdict=await _judged(stage, sending, began_at, ended_at),
        failed_calls=shop.failed,
        waiting=waiting,
        detected_s=detected_s,
        drained_s=drained_s,
        normal_per_s=normal_per_s,
        peak_per_s=_peak(samples),
    )


async def _judged(stage: Stage, sending: RunningLoad, began_at: float, ended_at: float) -> Verdict:
    """Judge once all are finished, or none finishes any more: a slow machine loses nothing."""
    offers = sending.offers()
    left = delivery_log.accepted_ids(offers)
    deadline = time.monotonic() + _FINISHED_WITHIN_S
    async with stage.connection() as connection:
        while left and time.monotonic() < deadline:
            await asyncio.sleep(_SAMPLE_S)
            still_left = await delivery_log.unfinished(connection, left)
            if len(still_left) < len(left):
                deadline = time.monotonic() + _FINISHED_WITHIN_S
            left = still_left
        return await delivery_log.judged(connection, offers, began_at, ended_at)


async def _waiting(stage: Stage) -> int:
    async with stage.connection() as connection:
        return int(await connection.fetchval(load("chaos", "waiting.sql")))


def _peak(samples: list[tuple[float, int]], over: int = 5) -> float:
    """The highest rate over five samples, or over all if there are fewer."""
    over = min(over, len(samples) - 1)
    return max(
        (
            (samples[i + over][1] - samples[i][1]) / (samples[i + over][0] - samples[i][0])
            for i in range(len(samples) - over)
            if over
        ),
        default=0.0,
    )
