"""What a user of the machine who does not run the stack can do with it: nothing.

Root runs the tests where they run in a container; then the other user is nobody.
"""

# ruff: file-ignore[suspicious-subprocess-import] - being another user takes another process.
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringback.local.account import NAMES
from ringback.local.child import LocalStackError
from ringback.local.database_files import program
from ringback.local.ports import LocalPorts, password_path, socket_path, superuser_url
from ringback.local.running_stack import claimed, stack_status
from tests.support.processes import descendants, listening
from tests.support.stack_process import StackProcess, free_port_settings, start_stack

NOBODY = pwd.getpwnam("nobody").pw_uid
PYTHON = "/usr/bin/python3"

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not Path(PYTHON).exists(), reason="only root can be another user"
)

_READ = """
import sys
for path in sys.stdin.read().split("\\0"):
    try:
        open(path, "rb").close()
    except OSError:
        continue
    print(path)
"""

_WHOAMI = """
import base64, sys, urllib.error, urllib.request
port, user = sys.argv[1:]
login = {"Authorization": "Basic " + base64.b64encode(user.encode()).decode()}
asked = urllib.request.Request(f"http://127.0.0.1:{port}/api/whoami", headers=login)
try:
    print(urllib.request.urlopen(asked).status)
except urllib.error.HTTPError as refused:
    print(refused.code)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that everybody may enter, unlike those of pytest."""
    made = Path(tempfile.mkdtemp(prefix="ringback-other-users-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def as_nobody(*command: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        input=given,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def readable_by_nobody(folder: Path) -> list[str]:
    """The files below, by their whole paths: to guess one needs no right to list them."""
    files = [str(path) for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 100, "there is nothing to try"
    return as_nobody(PYTHON, "-c", _READ, given="\0".join(files)).stdout.splitlines()


def asked_by_nobody(*connection: str) -> str:
    done = as_nobody(program("psql"), "--no-psqlrc", "-w", *connection, "-c", "SELECT 'I am in'")
    assert "I am in" not in done.stdout
    return done.stderr


def http_status(port: int, user: str) -> str:
    """The management API's answer to a client without a password that claims to be `user`."""
    return as_nobody(PYTHON, "-c", _WHOAMI, str(port), user).stdout.strip()


@pytest.mark.slow
@pytest.mark.nodes
async def test_only_who_runs_a_stack_gets_into_it(folder: Path) -> None:
    """Another user reads no file and has no login; the owner needs to type no password."""
    settings = free_port_settings()
    stack = start_stack(folder / "state", settings)
    try:
        await stack.ready()

        nobody_gets_in(stack.state_dir, settings)
        its_owner_gets_in(stack, int(settings["RINGBACK_LOCAL_DATABASE_PORT"]))
        nodes_have_no_rights(stack)
    finally:
        stack.process.send_signal(signal.SIGTERM)
        await stack.ended()


def nobody_gets_in(state: Path, settings: dict[str, str]) -> None:
    database = settings["RINGBACK_LOCAL_DATABASE_PORT"]
    management = settings["RINGBACK_LOCAL_MANAGEMENT_PORT"]
    assert readable_by_nobody(state) == []
    tcp = ("-h", "127.0.0.1", "-p", database, "-d", "ringback")
    assert "pg_hba.conf rejects connection" in asked_by_nobody(*tcp, "-U", "postgres")
    for login in ("webhooks_gateway", "ringback_processor", "nobody"):
        assert "no password supplied" in asked_by_nobody(*tcp, "-U", login)
    by_socket = ("-h", str(socket_path(state / "postgres")), "-p", database, "-U", "postgres")
    assert "Permission denied" in asked_by_nobody(*by_socket)
    assert http_status(int(management), "guest:guest") == "401"


def its_owner_gets_in(stack: StackProcess, port: int) -> None:
    """The superuser by the socket, also with psql; the broker's password is in the named file."""
    database = superuser_url(stack.state_dir / "postgres", port)
    query = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
    output = subprocess.run(
        [program("psql"), database, "-Atc", query], capture_output=True, text=True, check=True
    )
    assert output.stdout == "t\n"
    assert f"psql '{database}'" in stack.output
    assert str(password_path(stack.state_dir / "rabbitmq")) in stack.output


def nodes_have_no_rights(stack: StackProcess) -> None:
    """Root is neither broker nor database, and nothing of the stack listens to a network."""
    processes = descendants(stack.process.pid)
    users = {pwd.getpwnam(name).pw_uid for name in NAMES if _is_here(name)}
    names = {"beam.smp", "epmd", "postgres"}
    nodes = [status for pid in processes if (status := _status(pid)).get("Name") in names]
    assert {status["Name"] for status in nodes} == names
    for status in nodes:
        assert set(map(int, status["Uid"].split())) <= users
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert listening(processes) <= {"127.0.0.1", "::1"}


async def test_another_users_stack_is_a_sentence(folder: Path) -> None:
    """Neither is it taken over nor is the reader shown a traceback."""
    state = folder / "state"
    state.mkdir(mode=0o700)
    os.chown(state, NOBODY, NOBODY)

    with (
        pytest.raises(LocalStackError, match="belongs to another user"),
        claimed(state, LocalPorts()),
    ):
        pass
    assert await stack_status(state) is None


def _is_here(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _status(pid: int) -> dict[str, str]:
    """Empty for a process that has ended since it was listed, such as a worker of PostgreSQL."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {name: text.strip() for name, _, text in (line.partition(":") for line in lines)}
