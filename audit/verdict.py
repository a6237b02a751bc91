"""The result of pip-audit's report."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many packages were checked, a line for each weakness, and which were not checked.

    pip-audit itself passes a report without weaknesses, even if it checked nothing.
    """

    audited: int
    found: tuple[str, ...]
    not_audited: tuple[str, ...]


def verdict_of(report: Mapping[str, Any]) -> Verdict:
    """Of the JSON that `pip-audit --format json` writes."""
    packages = report["dependencies"]
    asked = [one for one in packages if "skip_reason" not in one]
    return Verdict(
        audited=len(asked),
        found=tuple(
            f"{one['name']} {one['version']}: {weakness['id']}, {_cure(weakness)}"
            for one in asked
            for weakness in one["vulns"]
        ),
        not_audited=tuple(one["name"] for one in packages if "skip_reason" in one),
    )


def _cure(weakness: Mapping[str, Any]) -> str:
    versions = weakness.get("fix_versions")
    return f"mended in {', '.join(versions)}" if versions else "not mended yet"
