"""`ringback up` as scripts start it."""

# ruff: file-ignore[suspicious-subprocess-import] - a stack is a process.
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.stack_process import free_port_settings, start_stack


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_one_that_a_script_started_is_stopped(
    amqp_url: str, database_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    """Begun with nohup in the background, it ignores the end of the terminal, and nothing else."""
    urls = {"RINGBACK_AMQP_URL": amqp_url, "RINGBACK_DATABASE_URL": database_url}
    settings = free_port_settings() | urls
    stack = start_stack(
        tmp_path / "state", settings, become=["sh", "-c", 'trap "" INT HUP; exec "$@"', "sh"]
    )
    try:
        await stack.ready()

        stack.process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            stack.process.wait(timeout=1)
        stack.process.send_signal(number)

        assert await stack.ended() == 0
    finally:
        await stack.end()
