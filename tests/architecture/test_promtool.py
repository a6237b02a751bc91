"""Checks the rules with promtool, which is part of Debian's package prometheus."""

# ruff: file-ignore[suspicious-subprocess-import] - promtool is a program.
import shutil
import subprocess
from pathlib import Path

import pytest

from ringback.local.ports import LocalPorts
from ringback.local.prometheus import prometheus_config
from tests.architecture.alert_rules import CASE_FILES, PROMETHEUS, RULE_FILES

pytestmark = pytest.mark.skipif(
    not shutil.which("promtool"), reason="promtool is not here: `make test` installs it"
)


def promtool(*arguments: str | Path) -> tuple[int, str]:
    done = subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_rules_are_clean() -> None:
    exit_code, said = promtool("check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)

    assert exit_code == 0, said


@pytest.mark.slow
@pytest.mark.parametrize("file", CASE_FILES, ids=lambda file: file.stem)
def test_rules_do_what_their_cases_say(file: Path) -> None:
    """Alerts fire when they must, with these words, and else are silent."""
    exit_code, said = promtool("test", "rules", file)

    assert exit_code == 0, said


def test_configurations_are_clean(tmp_path: Path) -> None:
    local = tmp_path / "local.yml"
    local.write_text(prometheus_config(LocalPorts(), scrapes_broker=True), encoding="utf-8")

    for config in (PROMETHEUS / "prometheus.yml", local):
        exit_code, said = promtool("check", "config", config)
        assert exit_code == 0, said
