"""What the benchmark computes from its measurements."""

from pathlib import Path

import orjson
import pytest

from benchmarks import page, wrk
from benchmarks.bodies import CALL_ID, SIZES, body
from benchmarks.cells import Cell, Result
from benchmarks.figures import (
    Ledger,
    compare,
    compare_counts,
    highest_held,
    latencies_ms,
    paired_ratio,
    percentile,
    spread,
)
from benchmarks.load import content_length
from benchmarks.record import Record


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 50, 0.0),
        ([3.0], 99, 3.0),
        ([4.0, 1.0, 3.0, 2.0], 50, 2.0),
        (range(1, 101), 99, 99),
        (range(1, 102), 99, 100),
    ],
)
def test_percentiles(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


def test_a_latency_counts_from_the_due_time() -> None:
    """A webhook that did not end has none; those of other clients are not counted."""
    assert latencies_ms({"a": 10.0, "b": 11.0}, {"a": 10.5, "c": 1.0}) == [500.0]


@pytest.mark.parametrize(
    ("accepted", "attempts", "expected"),
    [
        (["a", "b"], {"a": 1, "b": 1}, Ledger(0, 0)),
        (["a", "b"], {"a": 1}, Ledger(1, 0)),
        (["a", "b"], {"a": 2, "b": 1}, Ledger(0, 1)),
        (["a"], {"a": 1, "earlier": 3}, Ledger(0, 0)),
    ],
)
def test_lost_and_doubled_webhooks(
    accepted: list[str], attempts: dict[str, int], expected: Ledger
) -> None:
    assert compare(accepted, attempts) == expected


@pytest.mark.parametrize(
    ("stored", "expected"),
    [(100, Ledger(0, 0)), (98, Ledger(2, 0)), (116, Ledger(0, 0)), (119, Ledger(0, 3))],
)
def test_counts_allow_a_request_of_each_connection_at_the_stop(
    stored: int, expected: Ledger
) -> None:
    assert compare_counts(100, stored, connections=8) == expected


def test_a_spread_is_the_median_with_the_range() -> None:
    assert spread([1_234.4]) == "1,234"
    assert spread([3.0, 1.0, 2.0], 1) == "2.0 [1.0-3.0]"


def test_the_ratio_is_of_pairs() -> None:
    """The median of 3, 1 and 0.5; not the ratio of the medians."""
    assert paired_ratio([30, 20, 10], [10, 20, 20]) == 1


@pytest.mark.parametrize(
    ("held_shortly", "held_long", "expected"),
    [(640, 640, 600), (640, 480, 450), (70, 70, 50), (20, 20, 0), (9_999, 9_999, 1_600)],
)
async def test_the_highest_rate_holds_for_the_full_time(
    held_shortly: int, held_long: int, expected: int
) -> None:
    async def holds(rate: int, seconds: float) -> bool:  # ruff: ignore[unused-async]
        return rate <= (held_shortly if seconds == 10 else held_long)

    assert await highest_held(holds, probe_s=10, seconds=60) == expected


@pytest.mark.parametrize("size", SIZES)
def test_a_body_has_its_size_and_is_a_report(size: str) -> None:
    content = body(size)

    assert len(content) == pytest.approx(SIZES[size], rel=0.1)
    assert orjson.loads(content)["message"]["type"] == "end-of-call-report"
    assert CALL_ID in content


def test_the_clients_results_are_read() -> None:
    printed = (
        "Running 2s test\n"
        '{"answered": 100, "refused": 10, "broken": 1, "seconds": 2.0,'
        ' "p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0}\n'
    )

    assert wrk.parse(printed).per_s == 45
    with pytest.raises(wrk.CellError, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1")


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\nServer: x", 17),
        (b"HTTP/1.1 200 OK\r\ncontent-length:2", 2),
        (b"HTTP/1.1 204 No Content", 0),
    ],
)
def test_the_length_of_an_answer(head: bytes, expected: int) -> None:
    assert content_length(head) == expected


def test_a_page_shows_medians_ranges_losses_and_failures(tmp_path: Path) -> None:
    record = Record({"CPU": "two"}, file=tmp_path / "results" / "run.json")
    ours = Cell(part="accept", system="ringback", value=64)
    theirs = Cell(part="accept", system="replaced", value=64)
    for per_s, lost in ((300.0, 0), (100.0, 2)):
        record.add(Result(cell=ours, figures={"per_s": per_s, "cpu_ms": 0.5}, lost=lost))
        record.add(Result(cell=theirs, figures={"per_s": 100.0, "cpu_ms": 1.0}))
    record.add(Result(cell=Cell(part="drain", system="replaced", value=5), failure="No Redis."))

    text = page.tables(Record.read(record.file))

    assert "| accepted/s, 64 connections | 100 [100-100] | 200 [100-300] | 2.00 |" in text
    assert "| ringback | 64 | 16.7kB | 200 [100-300] | 0.50 [0.50-0.50] | 2 | 0 |" in text
    assert "| replaced | 5 | 16.7kB | not measured: No Redis. |" in text
    assert "| CPU | two |" in text
    assert page.sentence(record.results[-1]).endswith("not measured, No Redis.")


def test_a_run_replaces_what_lies_between_the_markers() -> None:
    old = f"# Title\n\n{page.BEGIN}\nold\n{page.END}\n\nend\n"

    new = page.between_markers(old, "new")

    assert new == f"# Title\n\n{page.BEGIN}\n\nnew\n\n{page.END}\n\nend\n"
    assert page.between_markers(new, "new") == new
