"""Check the pinned dependencies for known vulnerabilities, and warn of images that get no fixes.

The exit status is 1 if there is one, and 3 if PyPI's service could not be asked (0 with
--unless-away). Warnings about images do not change the status.
"""

# ruff: file-ignore[suspicious-subprocess-import] - pip-audit is a program.
import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audit.images import pinned_images, warnings

_ROOT = Path(__file__).parents[1]
_PINNED = _ROOT / "requirements" / "run.txt"
_TIMEOUT_S = 180.0
_FOUND, _NOT_AUDITED = 1, 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many packages were checked, a line for each vulnerability, and which were not checked.

    pip-audit itself passes a report without vulnerabilities, even if it checked nothing.
    """

    audited: int
    found: tuple[str, ...]
    not_audited: tuple[str, ...]


def verdict_of(report: Mapping[str, Any]) -> Verdict:
    """Read the JSON that `pip-audit --format json` writes."""
    packages = report["dependencies"]
    asked = [one for one in packages if "skip_reason" not in one]
    return Verdict(
        audited=len(asked),
        found=tuple(
            f"{one['name']} {one['version']}: {vulnerability['id']}, {_fix(vulnerability)}"
            for one in asked
            for vulnerability in one["vulns"]
        ),
        not_audited=tuple(one["name"] for one in packages if "skip_reason" in one),
    )


def _fix(vulnerability: Mapping[str, Any]) -> str:
    versions = vulnerability.get("fix_versions")
    return f"fixed in {', '.join(versions)}" if versions else "not fixed yet"


def fetch_report(requirements: Path) -> Verdict | None:
    """Get PyPI's report on all pinned packages; None if it does not answer."""
    program = str(Path(sys.executable).with_name("pip-audit"))
    command = [program, "--require-hashes", "--disable-pip"]
    options = ["--requirement", str(requirements), "--format", "json", "--progress-spinner", "off"]
    try:
        done = subprocess.run(
            [*command, *options], check=False, capture_output=True, timeout=_TIMEOUT_S
        )
        return verdict_of(json.loads(done.stdout))
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return None


def summary(verdict: Verdict | None) -> tuple[int, str]:
    """Give the exit status and the text to print."""
    if verdict is None or not verdict.audited:
        return _NOT_AUDITED, "NOT AUDITED: the vulnerability service of PyPI cannot be reached."
    if verdict.found:
        return _FOUND, "Known vulnerabilities:\n" + "\n".join(verdict.found)
    if verdict.not_audited:
        names = ", ".join(verdict.not_audited)
        return _NOT_AUDITED, f"NOT AUDITED: the service does not know {names}."
    return 0, f"No known vulnerability in {verdict.audited} packages."


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m audit", description=__doc__)
    parser.add_argument("--unless-away", action="store_true")
    parser.add_argument("--requirements", type=Path, default=_PINNED)
    options = parser.parse_args()
    status, text = summary(fetch_report(options.requirements))
    print(text)
    for line in warnings(pinned_images(_ROOT / "deploy"), datetime.now(UTC).date()):
        print(line)
    return 0 if status == _NOT_AUDITED and options.unless_away else status


if __name__ == "__main__":
    sys.exit(main())
