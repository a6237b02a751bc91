"""A scripted metrics service in a thread, settings without a local stack, and the command."""

from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.loop_thread import LoopThread
from tests.unit.cli.command import Ringback
from tests.unit.metrics_client.scripted_service import ScriptedService, scripted_service


@pytest.fixture(scope="session")
def loop_thread() -> Iterator[LoopThread]:
    thread = LoopThread()
    yield thread
    thread.close()


@pytest.fixture
def service(
    loop_thread: LoopThread, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[ScriptedService]:
    """Commands call this service, with a token, on a wide terminal."""
    stack = AsyncExitStack()

    served = loop_thread.run(stack.enter_async_context(scripted_service()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RINGBACK_METRICS_URL", served.address)
    monkeypatch.setenv("RINGBACK_TOKEN", "given")
    monkeypatch.setenv("COLUMNS", "120")
    yield served
    loop_thread.run(stack.aclose())


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder without a local stack, ports where nothing listens, and a wide terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("AMQP_URL", "DATABASE_URL", "GATEWAY_URL", "VAPI_SECRET", "RETRY_SCHEDULE",
                 "METRICS_URL", "JWT_SECRET", "JWT_PRIVATE_KEY_FILE", "JWT_ISSUER",
                 "JWT_AUDIENCE", "TRACE_FILE"):  # fmt: skip
        monkeypatch.delenv(f"RINGBACK_{name}", raising=False)
    monkeypatch.setenv("RINGBACK_TOKEN", "given")
    for name in ("LOCAL_AMQP", "LOCAL_DATABASE", "GATEWAY", "METRICS_GRPC"):
        monkeypatch.setenv(f"RINGBACK_{name}_PORT", "1")


@pytest.fixture
def ringback(capsys: pytest.CaptureFixture[str]) -> Ringback:
    return Ringback(capsys)
