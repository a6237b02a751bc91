"""Prints the page of all telemetry; `make generate` writes it to `docs/telemetry.md`."""

import sys

from ringback.contract.telemetry.as_markdown import as_markdown

if __name__ == "__main__":
    sys.stdout.write(as_markdown())
