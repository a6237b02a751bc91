"""Tests for audit.images: which images are pinned, and the lines about unsupported ones."""

from datetime import date
from pathlib import Path

import pytest

from audit.images import SUPPORTED, pinned_images, warnings

DEPLOY = Path(__file__).parents[3] / "deploy"


def test_every_foreign_image_is_in_the_table() -> None:
    """A new image needs a line with its end of support and the source of that date."""
    found = pinned_images(DEPLOY)

    assert {name for name, _, _ in found} == {name for name, _ in SUPPORTED}
    assert not [line for line in warnings(found, date(2026, 1, 1)) if "declares nothing" in line]


def test_each_form_of_a_pin_is_read(tmp_path: Path) -> None:
    """With a registry or a v, in an operator's manifest, in a Dockerfile; our own are left out."""
    (tmp_path / "a.yaml").write_text(
        "image: ghcr.io/a/b:v1.2.3\nimageName: c:18.6-standard\nimage: ringback-gateway:0.1.0\n"
    )
    (tmp_path / "Dockerfile").write_text("ARG PYTHON_IMAGE=python:3.13-slim-trixie\n")

    assert pinned_images(tmp_path) == {
        ("ghcr.io/a/b", "1", "2"),
        ("c", "18", "6"),
        ("python", "3", "13"),
    }


@pytest.mark.parametrize(
    ("image", "today", "begins"),
    [
        (("rabbitmq", "4", "2"), date(2026, 4, 23), []),
        (("rabbitmq", "4", "2"), date(2026, 4, 24), ["rabbitmq 4.2 has had no fixes since"]),
        (("postgres", "18", "9"), date(2030, 11, 15), ["postgres 18.9 has had no fixes since"]),
        (
            ("grafana/grafana", "11", "6"),
            date(2026, 1, 1),
            ["NOT AUDITED: grafana/grafana 11.6 is not in the table"],
        ),
        (
            ("grafana/tempo", "2", "10"),
            date(2026, 1, 1),
            ["NOT AUDITED: grafana/tempo 2.10 has no"],
        ),
    ],
)
def test_an_unsupported_image_gets_a_line(
    image: tuple[str, str, str], today: date, begins: list[str]
) -> None:
    """From the day after its end; unknown support is reported as not audited."""
    lines = list(warnings([image], today))

    assert len(lines) == len(begins)
    assert all(line.startswith(begin) for line, begin in zip(lines, begins, strict=True))
