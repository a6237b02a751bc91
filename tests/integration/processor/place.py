"""Where a processor under test works: a virtual host and a database, set up as in production."""

import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import orjson

from ringback.contract.retry_schedule import RetrySchedule
from ringback.runtime.amqp.topology import apply
from tests.support.eventually import eventually
from tests.support.service_process import start_service

ROOT = Path(__file__).parents[3]
HANDLERS = "tests.integration.processor.handlers_scripted"

_TABLES = """
    CREATE TABLE runs (
        job_id uuid, attempt int, kind text, at timestamptz DEFAULT clock_timestamp(),
        in_flight int, backend int, seen_status text, pid int);
    CREATE TABLE effects (job_id uuid, at timestamptz DEFAULT clock_timestamp());
    CREATE TABLE deferred (n int UNIQUE DEFERRABLE INITIALLY DEFERRED);
"""


@dataclass(frozen=True, slots=True)
class Place:
    amqp_url: str
    database_url: str
    retry_schedule: str = "200ms,400ms"

    @property
    def schedule(self) -> RetrySchedule:
        return RetrySchedule.parse(self.retry_schedule)

    async def prepare(self) -> None:
        """Declare the topology, and the tables in which scripted handlers record their runs."""
        await apply(self.amqp_url, self.schedule)
        connection = await asyncpg.connect(self.database_url)
        await connection.execute(_TABLES)
        await connection.close()


class ProcessorProcess:
    """`python -m ringback.services.processor`, as its own process."""

    def __init__(self, place: Place, log_path: Path, pythonpath: str = "", **settings: str) -> None:
        variables = {
            "RINGBACK_AMQP_URL": place.amqp_url,
            "RINGBACK_DATABASE_URL": place.database_url,
            "RINGBACK_RETRY_SCHEDULE": place.retry_schedule,
            "RINGBACK_HANDLERS": HANDLERS,
            "RINGBACK_OBSERVABILITY_HOST": "127.0.0.1",
            "RINGBACK_PROCESSOR_OBSERVABILITY_PORT": "0",
            "RINGBACK_DATABASE_POOL_MIN": "1",
            "RINGBACK_HOUSEKEEPING": "false",
            # Handlers that wait for a test have the time that a busy machine needs.
            "RINGBACK_ATTEMPT_TIMEOUT_S": "300",
            "RINGBACK_DRAIN_TIMEOUT_S": "300",
            "PYTHONPATH": f"{ROOT}:{pythonpath}",
            "PATH": "/usr/bin:/bin",
        }
        variables |= {f"RINGBACK_{name.upper()}": value for name, value in settings.items()}
        self._log_path = log_path
        self._process = start_service("processor", variables, log_path)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def output(self) -> str:
        return self._log_path.read_text(encoding="utf-8")

    def lines(self, event: str) -> list[dict[str, object]]:
        """The log lines of an event."""
        parsed = [orjson.loads(line) for line in self.output().splitlines() if line.startswith("{")]
        return [line for line in parsed if line["event"] == event]

    def outages(self) -> list[dict[str, object]]:
        """What it took for an outage of the database, apart from a server that was only busy."""
        found = self.lines("database.unavailable")
        return [line for line in found if line["reason"] != "TimeoutError"]

    async def ready(self) -> None:
        await eventually(self._is_ready, deadline_s=20)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        """Kill it, like a power failure."""
        if self.exit_code is None:
            self._process.kill()
        self._process.wait()

    async def ended(self, *, deadline_s: float = 15) -> int:
        """Wait until it ends, and return its exit status."""
        deadline = time.monotonic() + deadline_s
        await eventually(lambda: self.exit_code is not None, deadline_s=deadline - time.monotonic())
        code = self.exit_code
        assert code is not None
        return code

    def _is_ready(self) -> bool:
        assert self.exit_code is None, self.output()
        return bool(self.lines("processor.ready"))
