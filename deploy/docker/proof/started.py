"""What was started of an image: told by a signal, and heard when it has ended."""

import asyncio
import signal
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Started:
    process: asyncio.subprocess.Process

    async def ended(self) -> tuple[int, str]:
        """Wait for its end; the exit status, and all that it said."""
        said, _ = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, said.decode()

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
