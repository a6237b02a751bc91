"""Committed webhooks are in the file, in order, even if the process is killed."""

from pathlib import Path

import pytest

from services.gateway.storage.spool.file import SpooledWebhook, SpoolFile
from tests.unit.gateway.envelopes import an_envelope


def opened(path: Path) -> SpoolFile:
    file = SpoolFile(path)
    assert file.open() is None
    return file


def waiting(
    file: SpoolFile, sequence: int = 0, max_count: int = 10, max_bytes: int = 10**9
) -> list[SpooledWebhook]:
    found, damaged = file.read_after(sequence, max_count=max_count, max_bytes=max_bytes)
    assert not damaged
    return found


def test_webhooks_are_read_as_written(path: Path) -> None:
    """The same envelopes and bytes, in the same order."""
    webhooks = [(an_envelope(), f'{{"n": {n}}}\x00\xff'.encode("latin-1")) for n in range(5)]
    file = opened(path)

    file.append(webhooks)
    file.close()
    again = opened(path)

    found = waiting(again)
    assert [(one.envelope, one.body) for one in found] == webhooks
    assert (again.count, again.size_bytes) == (5, sum(len(body) for _, body in webhooks))
    assert again.oldest_s is not None
    again.close()


def test_reading_is_limited(path: Path) -> None:
    """Both limits apply, but at least one webhook is returned."""
    file = opened(path)
    file.append([(an_envelope(), bytes(100)) for _ in range(5)])

    by_count = waiting(file, max_count=2)
    by_bytes = waiting(file, max_bytes=250)
    one_too_large = waiting(file, max_bytes=1)
    behind = waiting(file, by_count[-1].sequence)
    file.close()

    assert [len(by_count), len(by_bytes), len(one_too_large), len(behind)] == [2, 2, 1, 3]


def test_sequence_numbers_are_never_reused(path: Path) -> None:
    """A reader does not miss webhooks stored after everything was deleted."""
    file = opened(path)
    file.append([(an_envelope(), b"{}")])
    [first] = waiting(file)
    file.delete([first])
    file.shrink()

    file.append([(an_envelope(), b"{}")])

    [second] = waiting(file, first.sequence)
    assert second.sequence > first.sequence
    file.close()


def test_an_empty_spool_frees_its_disk_space(path: Path) -> None:
    """A long outage does not leave a large file behind."""
    file = opened(path)
    file.append([(an_envelope(), bytes(1_000_000)) for _ in range(20)])
    file.delete(waiting(file, max_count=20))

    file.shrink()

    assert path.stat().st_size < 100_000
    file.close()


@pytest.mark.parametrize("damage_at", [0, 4096 + 20], ids=["its head", "a page"])
def test_a_corrupt_file_is_quarantined(path: Path, damage_at: int) -> None:
    """It is kept unchanged under another name, and an empty one is started."""
    file = opened(path)
    file.append([(an_envelope(), bytes(9_000)) for _ in range(20)])
    file.close()
    with path.open("r+b") as damaged:
        damaged.seek(damage_at)
        damaged.write(b"\xff" * 4096)
    content = path.read_bytes()

    file = SpoolFile(path)
    quarantined = file.open()

    assert quarantined is not None
    assert quarantined.path.read_bytes() == content
    assert (file.count, file.size_bytes) == (0, 0)
    file.append([(an_envelope(), b"{}")])
    file.close()


def test_only_the_owner_can_read_the_files(path: Path) -> None:
    """They contain credentials. Also fixes the mode of a file of an earlier version."""
    path.touch(mode=0o644)
    file = SpoolFile(path)
    file.open()

    modes = {one.name: one.stat().st_mode & 0o777 for one in path.parent.iterdir()}

    file.close()
    assert set(modes.values()) == {0o600}
    assert f"{path.name}-wal" in modes
