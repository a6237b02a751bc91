"""`python -m chaos`: its commands, and how it reports a failure."""

import asyncio
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from chaos.check import check
from chaos.during import during
from chaos.load.command import load
from chaos.outage import outage
from chaos.registry import ALL
from chaos.run import run
from chaos.stage import install as install_table
from ringback.cli.terminal import (
    EXIT_BAD_INPUT,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    BadInputError,
    CommandError,
    complain,
    out,
)
from ringback.local.child import LocalStackError
from ringback.runtime.process.settings import SettingsError

_EXAMPLES = """Examples:

    python -m chaos run                                      every fault, then several at once
    python -m chaos run --only broker-killed                 one fault
    python -m chaos outage --part broker                     a minute without RabbitMQ, measured
    python -m chaos load --url https://hooks.example.com --ledger run.jsonl --rate 50
    python -m chaos check --ledger run.jsonl --metrics metrics:50051
    python -m chaos during --url ... --ledger run.jsonl --metrics ... -- kubectl rollout restart ...
"""


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status. Errors that a user can fix are one sentence."""
    app = App(
        name="python -m chaos",
        help="Prove that no accepted webhook is lost, here or on your own installation.",
        help_epilogue=_EXAMPLES,
        help_format="markdown",
        version_flags=(),
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
    )
    for command in (run, outage, load, check, during):
        app.command(command)
    app.command(_list, name="list")
    app.command(_install, name="install")
    try:
        return int(app(list(arguments)) or 0)
    except (KeyboardInterrupt, asyncio.CancelledError):
        return EXIT_INTERRUPTED
    except CycloptsError as exc:
        complain(f"{exc}\nSee `python -m chaos --help`.")
        return EXIT_BAD_INPUT
    except (BadInputError, SettingsError) as exc:
        complain(str(exc))
        return EXIT_BAD_INPUT
    except (CommandError, LocalStackError) as exc:
        complain(str(exc))
        return EXIT_FAILED


def _list() -> None:
    """List the faults."""
    console = out()
    for fault in ALL:
        console.print(f"{fault.name:28}{fault.sentence}", soft_wrap=True)


def _install(database: str) -> None:
    """Create the table of effects in a database, for processors that run `chaos.handlers`.

    Parameters
    ----------
    database
        The URL of PostgreSQL, with a user that may create a schema.
    """
    asyncio.run(install_table(database))
