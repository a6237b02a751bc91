"""Whether the images that `deploy/` pins are still supported, by the table in this file.

It makes no request: a version is looked up in the table, which names the source of each date. A new
image or a new series needs a line.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

_PIN = re.compile(
    r"(?:image:|imageName:|PYTHON_IMAGE=)[ \"]*([a-z0-9./-]+):v?([0-9]+)\.([0-9]+)", re.MULTILINE
)
_OWN = "ringback"


@dataclass(frozen=True, slots=True)
class Support:
    """`until` is the last day of fixes; None if the project publishes no date."""

    until: date | None
    source: str


_POSTGRESQL_18 = Support(date(2030, 11, 14), "https://www.postgresql.org/support/versioning/")

#: By image and series: the major version if support is by major version, else major and minor.
SUPPORTED = {
    ("postgres", "18"): _POSTGRESQL_18,
    ("ghcr.io/cloudnative-pg/postgresql", "18"): _POSTGRESQL_18,
    ("python", "3.13"): Support(date(2029, 10, 31), "https://peps.python.org/pep-0719/"),
    # Only the latest series gets fixes: 4.3.0 is of that day.
    ("rabbitmq", "4.2"): Support(
        date(2026, 4, 23),
        "https://github.com/rabbitmq/rabbitmq-server/blob/main/COMMUNITY_SUPPORT.md",
    ),
    ("prom/prometheus", "3.13"): Support(
        date(2027, 7, 31), "https://prometheus.io/docs/introduction/release-cycle/"
    ),
    # Nine months from 13.2.0, of 2026-08-18.
    ("grafana/grafana", "13.2"): Support(
        date(2027, 5, 18), "https://grafana.com/docs/grafana/latest/upgrade-guide/when-to-upgrade/"
    ),
    ("grafana/tempo", "2.10"): Support(None, "https://github.com/grafana/tempo/releases"),
    ("otel/opentelemetry-collector-contrib", "0.148"): Support(
        None, "https://github.com/open-telemetry/opentelemetry-collector-releases/releases"
    ),
}


def pinned_images(folder: Path) -> set[tuple[str, str, str]]:
    """Find name, major and minor version of each foreign image that a file of the folder names."""
    texts = (path.read_text(encoding="utf-8") for path in _files(folder))
    found = {pin for text in texts for pin in _PIN.findall(text)}
    return {pin for pin in found if not pin[0].startswith(_OWN)}


def warnings(images: Iterable[tuple[str, str, str]], today: date) -> Iterator[str]:
    """A line for each image that is out of support, or whose support is unknown."""
    for name, major, minor in sorted(images):
        version = f"{major}.{minor}"
        support = SUPPORTED.get((name, version)) or SUPPORTED.get((name, major))
        if support is None:
            yield f"NOT AUDITED: {name} {version} is not in the table of audit/images.py."
        elif support.until is None:
            yield f"NOT AUDITED: {name} {version} has no published end; see {support.source}."
        elif support.until < today:
            yield f"{name} {version} has had no fixes since {support.until}: {support.source}"


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.suffix in {".yaml", ".yml"} or path.name == "Dockerfile":
            yield path
