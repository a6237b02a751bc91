"""A service as the first process of a container, which no signal ends by default."""

import ast
import os
import signal
import subprocess  # ruff: ignore[suspicious-subprocess-import]  # the project's own programs
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.processes import descendants

ROOT = Path(__file__).parents[3]

#: A PID namespace of its own; the process in it is killed when the one outside ends.
NAMESPACE = (
    *("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child=SIGKILL"),
    *(sys.executable, "-c"),
)

HANGS = """
import asyncio, sys
from ringback.runtime.process import lifecycle

async def main(stop):
    print("up", flush=True)
    await stop.wait()
    print("draining", flush=True)
    await asyncio.sleep(60)

sys.exit(lifecycle.run(main))
"""

#: Reads its input where a service would be importing what it needs.
LOADS = """
import sys
from ringback.runtime.process.end_by_signal import end_by_sigterm

end_by_sigterm()
print("up", flush=True)
sys.stdin.read()
"""

Start = Callable[[str], subprocess.Popen[str]]


def _can_have_a_namespace() -> bool:
    try:
        return subprocess.run([*NAMESPACE, "pass"], check=False, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program as PID 1 and waits until it says that it is up."""
    if not _can_have_a_namespace():
        pytest.skip("this machine gives no PID namespace to its users")
    started: list[subprocess.Popen[str]] = []

    def begin(program: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*NAMESPACE, program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT)},
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def tell(process: subprocess.Popen[str], number: signal.Signals) -> None:
    (inside,) = descendants(process.pid)
    os.kill(inside, number)


def test_told_while_it_is_loading_it_ends(start: Start) -> None:
    """An upgrade that is called back at once does not wait until the container is killed."""
    process = start(LOADS)

    tell(process, signal.SIGTERM)

    assert process.wait(timeout=60) == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_twice_it_ends_at_once(start: Start, number: signal.Signals) -> None:
    """As outside of a container; the first signal alone lets it drain."""
    process = start(HANGS)
    assert process.stdout is not None

    tell(process, number)
    assert process.stdout.readline() == "draining\n"
    tell(process, number)

    assert process.wait(timeout=60) == 128 + number


@pytest.mark.parametrize("service", ["gateway", "processor", "metrics"])
def test_a_service_hears_signals_before_it_loads(service: str) -> None:
    """Nothing that takes long is imported before; the rest of the file may."""
    tree = ast.parse((ROOT / "services" / service / "__main__.py").read_text(encoding="utf-8"))
    *before, guarded = tree.body

    assert [ast.unparse(line) for line in before] == [
        "import sys",
        "from ringback.runtime.process.end_by_signal import end_by_sigterm",
    ]
    assert isinstance(guarded, ast.If)
    assert ast.unparse(guarded.body[0]) == "end_by_sigterm()"
