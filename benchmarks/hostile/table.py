from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.hostile.trial import Tried

_HEADINGS = ("attack", "at once", "before", "peak MiB", "good client", "p50 ms", "p99 ms")


def show(tried: Sequence[Tried], console: Console) -> None:
    """A row for each scenario: memory, and the answers to good clients and to attackers."""
    table = Table(title="Under attack")
    for heading in _HEADINGS:
        table.add_column(heading, justify="left" if heading == "attack" else "right")
    table.add_column("attackers were told", overflow="fold")
    for one in tried:
        table.add_row(
            one.scenario.attack,
            f"{one.scenario.connections:,}",
            f"{one.before_mib:.0f}",
            f"{one.peak_mib:.0f}",
            _words(one.good.answers),
            f"{one.good.percentile_ms(50):.1f}",
            f"{one.good.percentile_ms(99):.1f}",
            _words(one.attackers),
        )
    console.print(table, soft_wrap=True)


def _words(answers: Counter[str]) -> str:
    counted = ", ".join(f"{count:,} x {word}" for word, count in sorted(answers.items()))
    return counted or "nothing"
