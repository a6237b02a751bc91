"""What `install.sh` does to a machine. The machine's programs are scripts of these tests."""

# ruff: file-ignore[suspicious-subprocess-import] - running the script is what this file is for.
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = "ringback/local/install.sh"
POLICY = "/usr/sbin/policy-rc.d"
#: What has packages of npm: the target, what pins them, where they are installed.
NPM = [
    ("validators", "tests/deploy/validators", "validators"),
    ("clients", "examples/typescript-client", "typescript-client"),
]
TOOLS = ("sh", "dirname", "mkdir", "date", "tail", "touch", "env", "cat", "cmp", "cp", "grep")


@dataclass
class Machine:
    """A checkout, and a PATH that has only a few programs."""

    checkout: Path
    programs: Path

    def has(self, program: str | Path, script: str) -> None:
        file = self.programs / program
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        file.chmod(0o755)

    def npm(self, script: str) -> None:
        """Replace the Node that runs npm."""
        self.has(self.checkout / "wheel/bin/node", script)

    def install(self, what: str) -> tuple[int, str]:
        done = subprocess.run(
            ["sh", self.checkout / SCRIPT, what],
            env={"PATH": str(self.programs)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path / "checkout", tmp_path / "programs")
    pinned = [f"{folder}/package{kind}.json" for _, folder, _ in NPM for kind in ("", "-lock")]
    for name in (SCRIPT, *pinned):
        (made.checkout / name).parent.mkdir(parents=True, exist_ok=True)
        # The policy of this machine does not apply there.
        text = (ROOT / name).read_text(encoding="utf-8")
        text = text.replace(POLICY, str(tmp_path / "policy-rc.d"))
        (made.checkout / name).write_text(text, encoding="utf-8")
    made.programs.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (made.programs / tool).symlink_to(found)
    made.has(made.checkout / ".venv/bin/python", f"echo {made.checkout / 'wheel'}")
    return made


def test_an_installed_prometheus_is_left_alone(machine: Machine) -> None:
    machine.has("prometheus", "exit 0")
    machine.has("apt-get", "exit 1")

    assert machine.install("prometheus") == (0, "")


def test_a_machine_without_apt_gets_one_sentence(machine: Machine) -> None:
    """It names what is missing, and is no failure."""
    exit_code, printed = machine.install("prometheus")

    assert exit_code == 0
    assert printed.startswith("Prometheus is not installed")
    assert len(printed.splitlines()) == 1


def test_a_user_who_may_not_install_is_asked_once(machine: Machine) -> None:
    """A refused password is no error, and the next run does not ask for it again."""
    machine.has("apt-get", "exit 1")
    machine.has("id", "echo 1000")
    machine.has("sudo", "exit 1")

    exit_code, printed = machine.install("prometheus")

    assert exit_code == 0
    assert "sudo refused" in printed
    assert "Continuing without Prometheus" in printed
    assert machine.install("prometheus") == (0, "")


def test_the_package_starts_no_service(machine: Machine) -> None:
    """While it is installed a policy forbids services, and afterwards its unit is disabled."""
    machine.has("apt-get", "exit 0")
    machine.has("systemctl", "exit 0")
    machine.has("id", "echo 1000")
    record = machine.checkout / "sudo.log"
    machine.has("sudo", f'echo "$*" >> {record}; [ "$1" != tee ] || cat >/dev/null')

    exit_code, printed = machine.install("prometheus")

    assert exit_code == 0, printed
    calls = record.read_text(encoding="utf-8").splitlines()
    [forbidden] = [index for index, line in enumerate(calls) if line.startswith("tee ")]
    [installed] = [index for index, line in enumerate(calls) if line.endswith(" prometheus")]
    [allowed] = [index for index, line in enumerate(calls) if line.startswith("rm -f ")]
    assert forbidden < installed < allowed
    assert calls[-1].endswith("prometheus.service")


@pytest.mark.parametrize(("what", "folder", "made"), NPM)
def test_packages_of_npm_are_installed_once(
    machine: Machine, what: str, folder: str, made: str
) -> None:
    """By `npm ci`, which installs only pinned packages; and again when the lock file changes."""
    machine.npm('echo "$*"')
    first = machine.install(what)
    log = (machine.checkout / ".venv" / made / "npm.log").read_text(encoding="utf-8")
    machine.npm("exit 1")
    second = machine.install(what)
    (machine.checkout / folder / "package-lock.json").write_text("{}", encoding="utf-8")

    assert first[0] == 0
    assert " ci --ignore-scripts " in log
    assert second == (0, "")
    assert "are skipped" in machine.install(what)[1]


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        ("ENOTFOUND", 0, "the tests that need them are skipped"),
        ("EINTEGRITY", 1, "are not those that"),
    ],
    ids=["no registry", "other files"],
)
def test_a_failed_npm_is_reported(machine: Machine, error: str, status: int, sentence: str) -> None:
    """Without a registry its tests are skipped, and the next run tries again."""
    machine.npm(f'echo "npm error code {error}"; exit 1')

    for exit_code, printed in (machine.install("validators"), machine.install("validators")):
        assert exit_code == status
        assert sentence in printed
