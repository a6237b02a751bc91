"""What the local stack prints."""

import time
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ringback.local.console import TextConsole
from ringback.local.log_follow import Shown
from ringback.local.ports import BROKER_USER, LOOPBACK, ServicePorts, password_path

STYLES = {"warning": "yellow", "error": "red", "critical": "red"}


@dataclass(slots=True)
class Screen:
    console: Console = field(default_factory=TextConsole)
    _began: float = field(default_factory=time.monotonic, init=False)

    def step(self, words: str) -> None:
        """Print one line of progress with the seconds since the beginning."""
        elapsed_s = time.monotonic() - self._began
        self.console.print(Text(f"{elapsed_s:5.1f} s  ", "dim").append(words, "default"))

    def log(self, shown: Shown) -> None:
        """Print one line of a service's log, cut to the width of the terminal."""
        line = Text(f"{shown.service:<10}", "dim")
        line.append(shown.text, STYLES.get(shown.level, "default"))
        self.console.print(line, no_wrap=True, overflow="ellipsis")

    def ready(
        self, rows: list[tuple[str, str]], gateway_port: int, database_url: str | None
    ) -> None:
        """Print the addresses; `database_url` is that of a private database."""
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for name, where in rows:
            table.add_row(name, where)
        self.console.print()
        self.console.print(table)
        if database_url:
            self.console.print("\nThe database:\n", style="bold")
            self.console.print(Text(f"  psql '{database_url}'"), soft_wrap=True)
        self.console.print("\nTry it:\n", style="bold")
        self.console.print(first_webhook(gateway_port), soft_wrap=True)
        self.console.print(f"\nOr, in another terminal: {_command()} demo")
        self.console.print("Ctrl-C stops everything; the data is kept.\n")


def _command() -> str:
    """How to call `ringback` in this folder: in a clone, it is in .venv/."""
    in_clone = Path(".venv/bin/ringback")
    return str(in_clone) if in_clone.exists() else "ringback"


def first_webhook(gateway_port: int) -> str:
    """Give a command that sends one webhook."""
    body = '{"message": {"type": "status-update", "status": "ended", "call": {"id": "call-1"}}}'
    return (
        f"  curl -s http://{LOOPBACK}:{gateway_port}/api/webhooks/vapi"
        f" -H 'Content-Type: application/json' -d '{body}'"
    )


def addresses(
    ports: ServicePorts,
    *,
    management_url: str | None,
    prometheus_url: str | None,
    state_dir: Path,
) -> list[tuple[str, str]]:
    """The addresses to print, the most useful ones first."""
    gateway = f"http://{LOOPBACK}:{ports.gateway}"
    observability_ports = (
        ports.gateway_observability,
        ports.processor_observability,
        ports.metrics_observability,
    )
    rows = [
        ("Webhooks", f"{gateway}/api/webhooks/vapi"),
        ("Console", f"run `{_command()} console`"),
        ("Metrics", f"http://{LOOPBACK}:{ports.metrics_rest}/api/webhook-metrics/queue-health"),
        ("Metrics (gRPC)", f"{LOOPBACK}:{ports.metrics_grpc}"),
        ("Services", " ".join(f"http://{LOOPBACK}:{port}/metrics" for port in observability_ports)),
    ]
    if prometheus_url:
        rows.append(("Prometheus", f"{prometheus_url} (graphs and alerts)"))
    if management_url:
        where = password_path(state_dir / "rabbitmq")
        rows.append(
            ("Queues", f"{management_url} (user {BROKER_USER}, the password is in {where})")
        )
    return [*rows, ("Data", str(state_dir)), ("Logs", str(state_dir / "logs"))]
