"""The results of a run, as a table for people and as JSON for comparing."""

import json
import os
import platform
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.accept import Accepted, Round
from benchmarks.finish import Finished

RESULTS = Path(__file__).parent / "results"


def machine() -> str:
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"


def show(accepted: Accepted, finished: list[Finished], console: Console) -> None:
    table = Table(title=f"Accepting ({machine()}, client and servers on the same cores)")
    for heading in ("", "accepted/s", "p50 ms", "p99 ms", "accepted", "refused", "lost", "doubled"):
        table.add_column(heading, justify="left" if not heading else "right")
    table.add_row(*_accept_row("plain handler", accepted.plain))
    table.add_row(*_accept_row("gateway", accepted.ringback))
    console.print(table, soft_wrap=True)
    console.print(
        f"The gateway keeps [bold]{accepted.ratio:.0%}[/] of the plain handler's rate, "
        f"at {accepted.gateway_peak_mib:.0f} MiB at most; "
        f"{accepted.pending_rows:,} pending rows were written meanwhile.\n"
    )
    table = Table(title="Finishing (no handler; every attempt logged and committed)")
    for heading in ("", "prefetch", "finished/s", "finished", "lost", "doubled"):
        table.add_column(heading, justify="left" if not heading else "right")
    for one in finished:
        table.add_row(
            one.name,
            str(one.prefetch),
            f"{one.per_second:,.0f}",
            f"{one.finished:,}",
            str(one.lost),
            str(one.doubled),
        )
    console.print(table)


def save(accepted: Accepted, finished: list[Finished]) -> Path:
    RESULTS.mkdir(exist_ok=True)
    moment = datetime.now(UTC)
    path = RESULTS / f"{moment:%Y%m%dT%H%M%SZ}.json"
    document = {
        "at": moment.isoformat(),
        "machine": machine(),
        "accepted": {
            name: [asdict(replace(one, job_ids=[])) for one in rounds]
            for name, rounds in (("plain", accepted.plain), ("ringback", accepted.ringback))
        },
        "gateway_peak_mib": accepted.gateway_peak_mib,
        "pending_rows": accepted.pending_rows,
        "ratio": accepted.ratio,
        "finished": [asdict(one) for one in finished],
    }
    path.write_text(json.dumps(document, indent=2), encoding="utf-8")
    return path


def _accept_row(name: str, rounds: list[Round]) -> list[str]:
    accepted = sum(one.accepted for one in rounds)
    lost = sum(max(one.accepted - one.stored, 0) for one in rounds)
    doubled = sum(max(one.stored - one.accepted, 0) for one in rounds)
    return [
        name,
        f"{median(one.per_second for one in rounds):,.0f}",
        f"{median(one.p50_ms for one in rounds):.1f}",
        f"{median(one.p99_ms for one in rounds):.1f}",
        f"{accepted:,}",
        str(sum(one.refused for one in rounds)),
        str(lost),
        str(doubled),
    ]
