"""The scans of the statements that a connection executes, also within functions."""

import json
from dataclasses import dataclass
from typing import Any

import asyncpg


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan of a table that was executed; `rows_read` includes the rows that it skipped."""

    table: str
    index: str | None
    rows_read: int


def _scans(node: dict[str, Any], table: str = "") -> list[Scan]:
    """A partition that the planner removed is absent, or never executed."""
    table = node.get("Relation Name", table)
    looked_at = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
    rows_read = sum(node.get(name, 0) for name in looked_at) * node.get("Actual Loops", 0)
    # A heap scan of a bitmap reads what the index scan below it found.
    is_scan = "Scan" in node["Node Type"] and node["Node Type"] != "Bitmap Heap Scan"
    found = []
    if node.get("Actual Loops") and is_scan and table:
        found.append(Scan(table, node.get("Index Name"), round(rows_read)))
    return found + [scan for child in node.get("Plans", []) for scan in _scans(child, table)]


class ExecutedPlans:
    """Collects what auto_explain reports, until it is cleared."""

    def __init__(self) -> None:
        self.scans: list[Scan] = []
        self.count = 0

    async def watch(self, connection: asyncpg.Connection) -> None:
        connection.add_log_listener(self._note)
        await connection.execute(
            "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0;"
            " SET auto_explain.log_nested_statements = on; SET auto_explain.log_analyze = on;"
            " SET auto_explain.log_format = 'json'; SET client_min_messages = log"
        )

    def clear(self) -> None:
        self.scans, self.count = [], 0

    def _note(self, _connection: object, message: asyncpg.PostgresLogMessage) -> None:
        text = str(message)
        if "plan:" in text:
            self.count += 1
            self.scans += _scans(json.loads(text[text.index("{") : text.rindex("}") + 1])["Plan"])
