"""What `install.sh prometheus` does to a machine, on one that is made of words."""

# ruff: file-ignore[suspicious-subprocess-import] - running the script is what this file is for.
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
POLICY = "/usr/sbin/policy-rc.d"
TOOLS = ("sh", "dirname", "mkdir", "date", "tail", "touch", "env", "cat")


@dataclass
class Machine:
    """A checkout, and a PATH on which only these few programs are."""

    checkout: Path
    programs: Path

    def has(self, program: str, script: str) -> None:
        file = self.programs / program
        file.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        file.chmod(0o755)

    def install(self) -> tuple[int, str]:
        done = subprocess.run(
            ["sh", str(self.checkout / "ringback/local/install.sh"), "prometheus"],
            env={"PATH": str(self.programs)},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path / "checkout", tmp_path / "programs")
    script = made.checkout / "ringback/local/install.sh"
    script.parent.mkdir(parents=True)
    # The policy of this machine does not apply there.
    text = (ROOT / "ringback/local/install.sh").read_text(encoding="utf-8")
    assert POLICY in text
    script.write_text(text.replace(POLICY, str(tmp_path / "policy-rc.d")), encoding="utf-8")
    made.programs.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (made.programs / tool).symlink_to(found)
    return made


def test_a_prometheus_that_is_there_is_left_alone(machine: Machine) -> None:
    """Nothing is printed and nothing is installed."""
    machine.has("prometheus", "exit 0")
    machine.has("apt-get", "exit 1")

    assert machine.install() == (0, "")


def test_without_apt_it_reports_that_and_continues(machine: Machine) -> None:
    """One sentence names what is missing."""
    exit_code, output = machine.install()

    assert exit_code == 0
    assert output.startswith("Prometheus is not here")
    assert len(output.splitlines()) == 1


def test_a_user_without_sudo_is_asked_once(machine: Machine) -> None:
    """A refused password is no error, and the next run does not ask for it again."""
    machine.has("apt-get", "exit 1")
    machine.has("id", "echo 1000")
    machine.has("sudo", "exit 1")

    exit_code, output = machine.install()
    again = machine.install()

    assert exit_code == 0
    assert "sudo refused" in output
    assert "Going on without Prometheus" in output
    assert again == (0, "")


def test_the_package_starts_no_service(machine: Machine) -> None:
    """While it is installed a policy forbids services, and afterwards its unit is disabled."""
    machine.has("apt-get", "exit 0")
    machine.has("systemctl", "exit 0")
    machine.has("id", "echo 1000")
    record = machine.checkout / "sudo.log"
    machine.has("sudo", f'echo "$*" >> {record}; [ "$1" != tee ] || cat >/dev/null')

    exit_code, output = machine.install()

    assert exit_code == 0, output
    asked = record.read_text(encoding="utf-8").splitlines()
    [forbidden] = [index for index, line in enumerate(asked) if line.startswith("tee ")]
    [installed] = [index for index, line in enumerate(asked) if line.endswith(" prometheus")]
    [allowed] = [index for index, line in enumerate(asked) if line.startswith("rm -f ")]
    assert forbidden < installed < allowed
    assert asked[-1].endswith("prometheus.service")
