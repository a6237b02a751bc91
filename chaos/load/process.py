"""The client as a separate process, so that judging does not slow down sending."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos.load.ledger import Offered, read_ledger
from chaos.load.webhook import Mix
from ringback.local.child import Child, LocalStackError

_ROOT = Path(__file__).parents[2]
_STEADY_ANSWERS = 20
_STEADY_WITHIN_S = 120.0
_STOPS_WITHIN_S = 40.0
_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class RunningLoad:
    child: Child
    ledger: Path

    def offers(self) -> list[Offered]:
        """Read what has been offered up to now."""
        return read_ledger(self.ledger)

    async def steady(self) -> None:
        """Wait until several webhooks in a row were accepted. Raises LocalStackError."""
        deadline = time.monotonic() + _STEADY_WITHIN_S
        while not self._is_steady():
            self.require_running()
            if time.monotonic() > deadline:
                raise LocalStackError(
                    f"The gateway does not accept {_STEADY_ANSWERS} webhooks in a row. "
                    f"The ledger is {self.ledger}."
                )
            await asyncio.sleep(_POLL_S)

    def require_running(self) -> None:
        """Raise LocalStackError if it has ended."""
        if self.child.exit_code is not None:
            raise LocalStackError(
                f"The load does not run. Its ledger is {self.ledger}, its log is beside it."
            )

    async def stop(self) -> None:
        """Stop sending, and wait for the missing answers."""
        await self.child.stop(signal.SIGINT, within_s=_STOPS_WITHIN_S)

    def _is_steady(self) -> bool:
        if not self.ledger.exists() or not self.ledger.stat().st_size:
            return False
        ended = [offer for offer in self.offers() if not offer.is_unanswered or offer.error]
        last = ended[-_STEADY_ANSWERS:]
        return len(last) == _STEADY_ANSWERS and all(offer.is_accepted for offer in last)


@asynccontextmanager
async def running_load(
    url: str, ledger: Path, mix: Mix, *, per_s: float
) -> AsyncGenerator[RunningLoad, None]:
    """Send to `url` inside this context; the process has ended when the context ends."""
    child = Child.spawn(
        "load",
        [
            *[sys.executable, "-m", "chaos", "load", "--url", url, "--ledger", str(ledger)],
            *["--rate", str(per_s), "--seconds", "86400", "--failing", str(mix.failing_in_ten)],
            *(["--calls"] if mix.is_calling else []),
        ],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(_ROOT), *sys.path])},
        log_path=ledger.with_suffix(".log"),
    )
    load = RunningLoad(child, ledger)
    try:
        yield load
    finally:
        await load.stop()
