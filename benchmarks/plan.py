"""Which cells a run measures, for which systems, in which order.

The systems of a cell follow each other, so that a slow minute of the machine affects all of them.
"""

from collections.abc import Sequence

from benchmarks.bodies import USUAL_SIZE
from benchmarks.cells import Cell

MAIN = ("ringback", "replaced", "plain")
OTHERS = ("replaced-everysec", "celery", "procrastinate", "floor")
WORKERS = ("celery", "procrastinate", "replaced-everysec")


def accept(
    systems: Sequence[str], connections: Sequence[int], sizes: Sequence[str], seconds: float
) -> list[Cell]:
    return [
        Cell(part="accept", system=name, value=value, size=size, seconds=seconds)
        for size in sizes
        for value in connections
        for name in systems
    ]


def drain(systems: Sequence[str], handlers: Sequence[int], count: int) -> list[Cell]:
    return [
        Cell(part="drain", system=name, value=value, count=count)
        for value in handlers
        for name in systems
        if name != "floor"
    ]


def rate(systems: Sequence[str], rates: Sequence[int], seconds: float) -> list[Cell]:
    return [
        Cell(part="rate", system=name, value=value, seconds=seconds)
        for value in rates
        for name in systems
        if name != "floor"
    ]


def held(systems: Sequence[str], seconds: float) -> list[Cell]:
    return [Cell(part="held", system=name, value=5, seconds=seconds) for name in systems]


def failing(systems: Sequence[str], backlog: int) -> list[Cell]:
    return [Cell(part="failing", system=name, value=backlog) for name in systems]


def memory(systems: Sequence[str], seconds: float) -> list[Cell]:
    return [Cell(part="memory", system=name, value=64, seconds=seconds) for name in systems]


def growth(part: str, values: Sequence[int], systems: Sequence[str] = ("ringback",)) -> list[Cell]:
    """Cells with these numbers of webhooks in the log or in the queue."""
    return [
        Cell(part=part, system=name, value=value, count=5_000)
        for value in values
        for name in systems
    ]


def fairness(seconds: float) -> list[Cell]:
    return [Cell(part="fairness", system="ringback", value=50, seconds=max(20.0, seconds))]


def quick() -> list[Cell]:
    return [
        *accept(MAIN, (16, 64), (USUAL_SIZE,), 2),
        *drain(MAIN, (5,), 3_000),
        *rate(MAIN, (200,), 5),
        *accept(("celery", "procrastinate", "floor"), (64,), (USUAL_SIZE,), 2),
        *failing(("ringback", "replaced"), 2_000),
        *memory(("ringback", "replaced"), 3),
    ]


def full() -> list[Cell]:
    """The cells of a run, the most important ones first."""
    return [
        *[
            *accept(MAIN, (1, 8, 256), (USUAL_SIZE,), 3),
            *accept((*MAIN, "ringback-untraced"), (16, 64), (USUAL_SIZE,), 3),
        ]
        * 3,
        *drain(MAIN, (5, 50), 20_000) * 3,
        *rate(MAIN, (100, 200, 400), 10) * 2,
        *rate(MAIN, (50, 600), 10),
        *held(("ringback", "replaced"), 60),
        *failing(("ringback", "replaced"), 20_000),
        *memory((*MAIN, "celery", "procrastinate"), 10),
        *accept(OTHERS, (16, 64), (USUAL_SIZE,), 3) * 2,
        *accept(MAIN, (16, 64), ("2kB", "260kB", "1.3MB"), 2),
        *drain(WORKERS, (5, 50), 3_000),
        *rate(WORKERS, (100, 200), 10),
        *failing(("celery", "procrastinate"), 2_000),
        *growth("growth", (10_000, 1_000_000)),
        *growth("backlog", (200_000,)),
        *fairness(30) * 3,
    ]
