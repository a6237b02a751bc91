"""What `ringback up` promises, with fake services and, but for one test, nodes that run already."""

import json
import os
import re
import shutil
import signal
import socket
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
from tests.support.stack_process import StackProcess, free_port_settings, start_stack

Start = Callable[..., StackProcess]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts stacks that are gone when the test is."""
    started: list[StackProcess] = []

    def start(settings: dict[str, str], **more: str) -> StackProcess:
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


async def test_a_stack_is_found_and_stopped(start: Start, settings: dict[str, str]) -> None:
    """`ringback status` sees what runs, `ringback down` ends it in order, and then it is gone."""
    stack = start(settings)
    await stack.ready()

    status = await stack_status(stack.state_dir)
    stopped = await stop_running_stack(stack.state_dir)

    assert status is not None
    assert status.ready == {"gateway": True, "processor": True, "metrics": True}
    assert stopped is not None
    assert await stack.ended() == 0
    assert re.findall(r"\b([a-z]+) stopped", stack.output) == ["gateway", "processor", "metrics"]
    assert await stack_status(stack.state_dir) is None


async def test_a_second_stack_is_refused(start: Start, settings: dict[str, str]) -> None:
    """A second `up` in the same folder reports that one runs, and changes nothing."""
    first = start(settings)
    await first.ready()
    kept = first.output

    second = start(settings)

    assert await second.ended() == 1
    sentence = second.output.removeprefix(kept).strip()
    assert "already runs" in sentence
    assert len(sentence.splitlines()) == 1
    assert first.process.poll() is None


async def test_a_service_that_ends_stops_all(start: Start, settings: dict[str, str]) -> None:
    """The terminal gets a sentence and the end of that service's log, and no traceback."""
    stack = start(settings, bad_service="processor")

    assert await stack.ended() == 1

    assert "The processor ended by itself, exit code 3" in stack.output
    assert "no such table" in stack.output
    assert "Traceback" not in stack.output
    assert not descendants(stack.process.pid)


async def test_the_gateway_asks_for_no_secret_unless_one_is_set(
    start: Start, settings: dict[str, str]
) -> None:
    """On loopback a newcomer needs no secret; one who sets it is asked for it."""
    secret = {"RINGBACK_VAPI_SECRET": "s3cret"}

    seen = []
    for more in ({}, secret):
        stack = start(settings | more)
        await stack.ready()
        stack.process.send_signal(signal.SIGINT)
        assert await stack.ended() == 0
        seen.append(environment_of(stack, "gateway"))

    assert seen[0]["RINGBACK_ALLOW_UNAUTHENTICATED"] == "true"
    assert "RINGBACK_ALLOW_UNAUTHENTICATED" not in seen[1]


async def test_the_stack_has_a_key_of_its_own_for_tokens(
    start: Start, settings: dict[str, str]
) -> None:
    """Only the metrics service gets it; a key that the environment names is used instead."""
    configured = {"RINGBACK_JWT_JWKS_FILE": "keys.json"}

    seen = []
    for more in ({}, configured):
        stack = start(settings | more)
        await stack.ready()
        stack.process.send_signal(signal.SIGINT)
        assert await stack.ended() == 0
        seen.append(
            {name: environment_of(stack, name) for name in ("gateway", "processor", "metrics")}
        )

    key = (stack.state_dir / "jwt.secret").read_text().strip()
    first, second = seen
    assert first["metrics"]["RINGBACK_JWT_SECRET"] == key
    assert first["metrics"]["RINGBACK_METRICS_REST_PORT"] == settings["RINGBACK_METRICS_REST_PORT"]
    assert key not in str((first["gateway"], first["processor"], second))
    assert key not in stack.output
    assert f":{settings['RINGBACK_METRICS_REST_PORT']}/api/webhook-metrics/" in stack.output


@pytest.mark.skipif(not shutil.which("prometheus"), reason="Prometheus is not here")
async def test_prometheus_starts_and_stops_with_the_stack(
    start: Start, settings: dict[str, str]
) -> None:
    """Its link is printed, it asks the three services, and its rules are loaded and sound."""
    stack = start(settings)
    await stack.ready()

    url = f"http://127.0.0.1:{settings['RINGBACK_LOCAL_PROMETHEUS_PORT']}"
    status = await stack_status(stack.state_dir)
    async with aiohttp.ClientSession(f"{url}/api/v1/") as client:

        async def reported(what: str, part: str) -> list[dict[str, Any]]:
            async with client.get(what) as answer:
                found: list[dict[str, Any]] = (await answer.json())["data"][part]
            return found

        targets = await eventually(lambda: reported("targets", "activeTargets"))
        groups = await reported("rules", "groups")
    stack.process.send_signal(signal.SIGINT)

    assert url in stack.output
    assert status is not None
    assert status.prometheus_url == url
    assert {target["labels"]["job"] for target in targets} == {"gateway", "processor", "metrics"}
    assert groups
    assert await stack.ended() == 0
    assert "Prometheus stopped" in stack.output
    assert not prometheus_processes(stack.state_dir)


@pytest.mark.parametrize("lacks", ["program", "port"])
async def test_a_missing_prometheus_costs_only_its_link(
    start: Start, settings: dict[str, str], tmp_path: Path, lacks: str
) -> None:
    """A sentence names what is missing, and the stack runs."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = {"RINGBACK_LOCAL_PROMETHEUS_PORT": str(taken.getsockname()[1])}
        more = {"PATH": str(tmp_path)} if lacks == "program" else port

        stack = start(settings | more)
        await stack.ready()
        status = await stack_status(stack.state_dir)

    assert "Going on without Prometheus." in stack.output
    assert "graphs and alerts" not in stack.output
    assert status is not None
    assert status.prometheus_url is None


@pytest.mark.skipif(not shutil.which("prometheus"), reason="Prometheus is not here")
async def test_a_prometheus_that_ends_does_not_end_the_stack(
    start: Start, settings: dict[str, str]
) -> None:
    """The terminal shows it once, and the stack continues."""
    stack = start(settings)
    await stack.ready()

    for pid in prometheus_processes(stack.state_dir):
        os.kill(pid, signal.SIGKILL)

    await eventually(lambda: "Prometheus ended by itself" in stack.output)
    stack.process.send_signal(signal.SIGINT)
    assert await stack.ended() == 0


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
    reported: dict[str, str] = json.loads(lines[-1])["env"]
    return reported


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
