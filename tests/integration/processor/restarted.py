from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import ProcessorProcess
from tests.integration.processor.stage import Stage
from tests.support.eventually import eventually


class Restarted:
    """Starts the processor again whenever it dies, as an orchestrator does."""

    def __init__(self, start: Starter, stage: Stage, **settings: str) -> None:
        self._start = start
        self._stage = stage
        self._settings = settings
        self.process: ProcessorProcess = start(stage.place, **settings)
        self.deaths = 0

    def has_died(self, times: int) -> bool:
        """Start it again if it is dead; return whether it has died this often."""
        if self.process.exit_code is not None:
            assert self.process.exit_code == 9, self.process.output()
            self.deaths += 1
            self.process = self._start(self._stage.place, **self._settings)
        return self.deaths >= times

    async def until(self, job_id: object, status: str) -> None:
        async def there() -> bool:
            self.has_died(0)
            row = await self._stage.row(job_id)  # type: ignore[arg-type]  # a job id
            return row is not None and row["status"] == status

        await eventually(there, deadline_s=40)
