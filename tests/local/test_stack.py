"""What `ringback up` promises, with fake services and, but for one test, nodes that run already."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess  # ruff: ignore[suspicious-subprocess-import]  # for its exception
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import aiormq
import pytest

from ringback.local.jwt_secret import read_secret
from ringback.local.ports import broker_url, password_path
from ringback.local.running_stack import stack_status, stop_running_stack
from tests.support.eventually import eventually
from tests.support.processes import alive, descendants
from tests.support.stack_process import ROOT, StackProcess, free_port_settings, start_stack

Start = Callable[..., StackProcess]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts stacks that are gone when the test is."""
    started: list[StackProcess] = []

    def start(settings: dict[str, str], **more: Any) -> StackProcess:
        started.append(start_stack(tmp_path / "state", settings, **more))
        return started[-1]

    yield start
    for stack in started:
        await stack.end()


@pytest.fixture
def settings(amqp_url: str, database_url: str) -> dict[str, str]:
    """A stack on the session's nodes: it starts no nodes."""
    urls = {"RINGBACK_AMQP_URL": amqp_url, "RINGBACK_DATABASE_URL": database_url}
    return free_port_settings() | urls


async def test_one_stack_runs_in_a_folder_until_it_is_stopped(
    start: Start, settings: dict[str, str]
) -> None:
    """A second `up` is refused, `ringback status` sees the first, and `ringback down` ends it."""
    stack = start(settings)
    await stack.ready()
    before = stack.output

    second = start(settings)
    assert await second.ended() == 1
    sentence = second.output.removeprefix(before).strip()
    assert "already runs" in sentence
    assert len(sentence.splitlines()) == 1
    status = await stack_status(stack.state_dir)
    ignored = (stack.state_dir / ".gitignore").read_text(encoding="utf-8")
    stopped = await stop_running_stack(stack.state_dir)

    assert status is not None
    assert status.ready == {"gateway": True, "processor": True, "metrics": True}
    assert ignored == "*\n"
    assert stopped is not None
    assert await stack.ended() == 0
    ended = re.findall(r"\b([a-z]+) stopped", stack.output)
    assert ended == ["gateway", "processor", "metrics"]
    assert await stack_status(stack.state_dir) is None


async def test_a_service_that_ends_stops_all(start: Start, settings: dict[str, str]) -> None:
    """The terminal gets a sentence and the end of that service's log, and no traceback."""
    stack = start(settings, bad_service="processor")

    assert await stack.ended() == 1

    assert "The processor ended unexpectedly, exit code 3" in stack.output
    assert "no such table" in stack.output
    assert "Traceback" not in stack.output
    assert not descendants(stack.process.pid)


@pytest.mark.slow
async def test_changed_handlers_restart_the_processor(
    start: Start, settings: dict[str, str], tmp_path: Path
) -> None:
    """It stops and starts again; the other services stay. A new file counts as a change too."""
    package = tmp_path / "shop_of_reload"
    package.mkdir()
    (package / "__init__.py").touch()
    handlers = {"RINGBACK_HANDLERS": "shop_of_reload.hooks", "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    stack = start(settings | handlers)
    await stack.ready()
    before = set(descendants(stack.process.pid))

    (package / "hooks.py").write_text("changed = True\n", encoding="utf-8")

    await eventually(
        lambda: "The processor runs with the new handlers" in stack.output, deadline_s=40
    )
    after = set(descendants(stack.process.pid))
    assert len(before - after) == len(after - before) == 1
    stack.process.send_signal(signal.SIGINT)
    assert await stack.ended() == 0
    assert re.findall(r"\b([a-z]+) stopped", stack.output) == ["gateway", "processor", "metrics"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_one_that_a_script_started_is_stopped(
    start: Start, settings: dict[str, str], number: signal.Signals
) -> None:
    """Begun with nohup in the background, it ignores the end of the terminal, and nothing else."""
    stack = start(settings, become=["sh", "-c", 'trap "" INT HUP; exec "$@"', "sh"])
    await stack.ready()

    stack.process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        stack.process.wait(timeout=1)
    stack.process.send_signal(number)

    assert await stack.ended() == 0


@pytest.mark.slow
async def test_secrets_of_the_stack_and_of_the_environment(
    start: Start, settings: dict[str, str]
) -> None:
    """On loopback the gateway asks for no secret, and only the metrics service has a token key.

    A secret or a key in the environment is used instead.
    """
    configured = {"RINGBACK_VAPI_SECRET": "s3cret", "RINGBACK_JWT_JWKS_FILE": "keys.json"}

    seen = []
    for more in ({}, configured):
        stack = start(settings | more)
        await stack.ready()
        stack.process.send_signal(signal.SIGINT)
        assert await stack.ended() == 0
        seen.append(
            {name: environment_of(stack, name) for name in ("gateway", "processor", "metrics")}
        )

    first, second = seen
    assert first["gateway"]["RINGBACK_ALLOW_UNAUTHENTICATED"] == "true"
    assert "RINGBACK_ALLOW_UNAUTHENTICATED" not in second["gateway"]
    key = (stack.state_dir / "jwt.secret").read_text().strip()
    assert first["metrics"]["RINGBACK_JWT_SECRET"] == key
    assert first["metrics"]["RINGBACK_METRICS_REST_PORT"] == settings["RINGBACK_METRICS_REST_PORT"]
    assert key not in str((first["gateway"], first["processor"], second))
    console_key = read_secret(stack.state_dir / "console.secret")
    assert first["metrics"]["RINGBACK_CONSOLE_SECRET"] == console_key
    assert key not in stack.output
    assert f":{settings['RINGBACK_METRICS_REST_PORT']}/api/webhook-metrics/" in stack.output
    assert "Prometheus stopped" in stack.output or not shutil.which("prometheus")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("prometheus"), reason="Prometheus is not installed")
async def test_prometheus_runs_with_the_stack(start: Start, settings: dict[str, str]) -> None:
    """Its link is printed, and it scrapes the three services. Its end does not end the stack."""
    stack = start(settings)
    await stack.ready()

    url = f"http://127.0.0.1:{settings['RINGBACK_LOCAL_PROMETHEUS_PORT']}"
    status = await stack_status(stack.state_dir)
    async with aiohttp.ClientSession(f"{url}/api/v1/") as client:

        async def answer_of(what: str, part: str) -> list[dict[str, Any]]:
            async with client.get(what) as answer:
                found: list[dict[str, Any]] = (await answer.json())["data"][part]
            return found

        async def scrapes_all_services() -> bool:
            targets = await answer_of("targets", "activeTargets")
            jobs = {target["labels"]["job"] for target in targets}
            return jobs == {"gateway", "processor", "metrics"}

        await eventually(scrapes_all_services)
        groups = await answer_of("rules", "groups")
    for pid in prometheus_processes(stack.state_dir):
        os.kill(pid, signal.SIGKILL)
    await eventually(lambda: "Prometheus ended unexpectedly" in stack.output)
    stack.process.send_signal(signal.SIGINT)

    assert url in stack.output
    assert status is not None
    assert status.prometheus_url == url
    assert groups
    assert await stack.ended() == 0
    assert not prometheus_processes(stack.state_dir)


@pytest.mark.slow
@pytest.mark.parametrize("lacks", ["program", "port"])
async def test_a_missing_prometheus_costs_only_its_link(
    start: Start, settings: dict[str, str], tmp_path: Path, lacks: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = {"RINGBACK_LOCAL_PROMETHEUS_PORT": str(taken.getsockname()[1])}
        more = {"PATH": str(tmp_path)} if lacks == "program" else port

        stack = start(settings | more)
        await stack.ready()
        status = await stack_status(stack.state_dir)

    assert "Continuing without Prometheus." in stack.output
    assert "graphs and alerts" not in stack.output
    assert status is not None
    assert status.prometheus_url is None


@pytest.mark.slow
@pytest.mark.nodes
async def test_private_nodes_keep_data_and_leave_nothing_behind(start: Start) -> None:
    """Messages outlive Ctrl-C, and a stack that is killed takes every process with it."""
    settings = free_port_settings()
    stack = start(settings)
    await stack.ready()
    password = read_secret(password_path(stack.state_dir / "rabbitmq"))
    broker = broker_url(int(settings["RINGBACK_LOCAL_AMQP_PORT"]), str(password))
    connection = await aiormq.connect(broker)
    await (await connection.channel()).basic_publish(
        b"{}", exchange="webhooks", routing_key="attempt.1"
    )
    await connection.close()

    stack.process.send_signal(signal.SIGINT)
    assert await stack.ended() == 0
    again = start(settings)
    await again.ready()
    connection = await aiormq.connect(broker)
    work = await (await connection.channel()).queue_declare("webhooks.work", passive=True)
    await connection.close()
    processes = descendants(again.process.pid)
    again.process.kill()

    assert work.message_count == 1
    assert len(processes) > 5
    await eventually(lambda: not alive(processes), deadline_s=5)


def environment_of(stack: StackProcess, service: str) -> dict[str, str]:
    """The settings with which a fake service was last started."""
    lines = (stack.state_dir / "logs" / f"{service}.log").read_text().splitlines()
    given: dict[str, str] = json.loads(lines[-1])["env"]
    return given


def prometheus_processes(state_dir: Path) -> set[int]:
    """Those whose data are in this folder."""
    folder = str(state_dir / "prometheus").encode()
    return {
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.parent.name != str(os.getpid()) and folder in read_if_there(path)
    }


def read_if_there(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
