"""The client's own record."""

from pathlib import Path

import pytest

from chaos.load.ledger import LedgerWriter, NoLedgerError, read_ledger
from chaos.load.webhook import Mix, webhook

RUN = "chaos-test"


def written(path: Path) -> bytes:
    """A ledger with one request of each end, and one in flight."""
    with LedgerWriter(path, run=RUN, url="http://gateway/") as ledger:
        for number in range(4):
            ledger.sent(number, webhook(RUN, number, Mix()))
        ledger.answered(0, 200, "job-0")
        ledger.answered(1, 503, None)
        ledger.failed(2, "ClientOSError")
    return path.read_bytes()


def test_it_tells_how_each_request_ended(tmp_path: Path) -> None:
    """A request without a second line has no answer."""
    path = tmp_path / "ledger.jsonl"
    written(path)

    offers = read_ledger(path)

    assert [offer.is_accepted for offer in offers] == [True, False, False, False]
    assert [offer.is_refused for offer in offers] == [False, True, False, False]
    assert [offer.is_unanswered for offer in offers] == [False, False, True, True]
    assert offers[0].job_id == "job-0"
    assert offers[2].error == "ClientOSError"


def test_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    """Cut off at any byte after its header, it still yields all complete lines."""
    path = tmp_path / "ledger.jsonl"
    whole = written(path)
    head = whole.index(b"\n") + 1

    for end in range(head, len(whole)):
        path.write_bytes(whole[:end])
        complete = whole[:end].rpartition(b"\n")[0]
        assert len(read_ledger(path)) == complete.count(b'"sent":')


def test_a_line_is_with_the_system_as_soon_as_it_is_written(tmp_path: Path) -> None:
    """Another process reads it while it is open: a killed client loses no request."""
    path = tmp_path / "ledger.jsonl"

    with LedgerWriter(path, run=RUN, url="http://gateway/") as ledger:
        ledger.sent(0, webhook(RUN, 0, Mix()))

        assert len(read_ledger(path)) == 1


@pytest.mark.parametrize("content", [b"", b"not json\n", b"[1]\n", b'{"ledger": 99}\n'])
def test_another_file_is_no_ledger(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.txt"
    path.write_bytes(content)

    with pytest.raises(NoLedgerError, match=r"other\.txt"):
        read_ledger(path)


def test_two_runs_are_never_mixed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    written(path)

    with pytest.raises(FileExistsError):
        LedgerWriter(path, run=RUN, url="http://gateway/")
