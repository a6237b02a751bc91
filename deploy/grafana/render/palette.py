"""Grafana's dark colours."""

from typing import Final

PAGE: Final = "#111217"
PANEL: Final = "#181b1f"
EDGE: Final = "#2c3235"
TEXT: Final = "#d8d9da"
QUIET: Final = "#8e9196"
NAMED: Final = {
    "green": "#5aa454",
    "red": "#d6424f",
    "orange": "#e0812b",
    "yellow": "#f2cc0c",
    "blue": "#5794f2",
    "light-blue": "#8ab8ff",
    "purple": "#b877d9",
    "text": TEXT,
}
CURVES: Final = (
    "#73bf69",
    "#f2cc0c",
    "#8ab8ff",
    "#ff780a",
    "#f2495c",
    "#b877d9",
    "#37872d",
    "#fade2a",
)
