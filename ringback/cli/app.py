"""The `ringback` command: its subcommands, and how failures are reported."""

import asyncio
import logging
import os
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Group

import ringback
from ringback.cli.terminal import (
    EXIT_BAD_INPUT,
    EXIT_CLOSED_PIPE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    BadInputError,
    CommandError,
    complain,
    err,
    forget_stdout,
)
from ringback.local.console import never_fail_to_encode, printable

_HELP = (
    "A durable inbox for voice-call webhooks.\n\n"
    "Commands use the local stack that `ringback up` starts. For another one, set "
    "RINGBACK_GATEWAY_URL, RINGBACK_METRICS_URL (host:port, with RINGBACK_TOKEN), "
    "RINGBACK_AMQP_URL and RINGBACK_DATABASE_URL."
)

_EXAMPLES = """Examples:

    ringback up                               start everything on this machine
    ringback demo                             watch webhooks fail and be retried
    ringback send hang --count 5000 --wait    send many, wait for the results
    ringback watch                            follow the queues
    ringback dead list                        list dead letters and their errors
    ringback dead retry JOB                   retry one of them
"""

# A command is imported when it runs, so that `--help` and a mistyped word answer at once.
_COMMANDS = {
    "Local stack": {
        "ringback.cli.commands.stack:up": "Run everything on this machine until Ctrl-C.",
        "ringback.cli.commands.stack:down": "Stop what `up` started.",
        "ringback.cli.commands.stack:status": (
            "Show the services, the queues and the last day's webhooks."
        ),
        "ringback.cli.commands.demo:demo": "Send a demo call and failing webhooks, and watch them.",
        "ringback.cli.commands.send:send": "Send webhooks, one or many, and measure the responses.",
    },
    "Inspect": {
        "ringback.cli.commands.console:console": "Open the console in a browser, signed in as you.",
        "ringback.cli.commands.health:health": "Check the queues against their thresholds.",
        "ringback.cli.commands.health:watch": "Show queues and rates live.",
        "ringback.cli.commands.deliveries:stats": (
            "Count the webhooks of the last hours or days by result."
        ),
        "ringback.cli.commands.deliveries:failures": "List recent failures.",
        "ringback.cli.commands.deliveries:delivery": (
            "Find webhooks, show one, or process a false duplicate."
        ),
        "ringback.cli.commands.trace:trace": "Show the spans of one webhook and its retries.",
        "ringback.cli.commands.changes:changes": "List what people changed: who, when and why.",
    },
    "Operate": {
        "ringback.cli.commands.dead:dead": "List, show, retry and discard dead letters.",
        "ringback.cli.commands.runs:runs": "Show and stop retry runs; replay completed webhooks.",
        "ringback.cli.commands.destinations:destinations": (
            "List the services that handlers call; stop or resume calls to one."
        ),
        "ringback.cli.commands.waiting:waiting": (
            "List, release and cancel webhooks that wait in the database."
        ),
        "ringback.cli.commands.pause:pause": "Stop consuming webhooks.",
        "ringback.cli.commands.pause:resume": "Consume webhooks again.",
        "ringback.services.gateway.storage.spool.command:spool": (
            "List and salvage the webhooks in a gateway's spool."
        ),
    },
    "Set up": {
        "ringback.cli.commands.database:migrate": "Update the database to the newest version.",
        "ringback.cli.commands.topology:topology": "Declare or check the broker's queues.",
        "ringback.cli.commands.database:housekeeping": (
            "Create upcoming partitions, and drop expired ones."
        ),
        "ringback.services.gateway.endpoints.command:endpoints": (
            "Check, show and test the endpoints that a file declares."
        ),
        "ringback.services.processor.handlers_command:handlers": (
            "Check the modules of your handlers."
        ),
        "ringback.cli.commands.token:token": "Create a token for the metrics API.",
    },
}


def build_app(arguments: Sequence[str] = ()) -> App:
    app = App(
        name="ringback",
        version=ringback.__version__,
        help=_HELP,
        help_epilogue=_EXAMPLES,
        help_format="markdown",
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
    )
    for place, (title, commands) in enumerate(_COMMANDS.items()):
        group = Group(title, sort_key=place)
        for row, (path, sentence) in enumerate(commands.items()):
            name = path.partition(":")[2]
            # The list shows a command's short sentence; its own help shows more.
            summary = None if name in arguments[:1] else sentence
            app.command(path, name=name, help=summary, sort_key=row, group=group)
    app.register_install_completion_command(
        help="Install completion of commands and options for your shell."
    )
    other = Group("Other", sort_key=len(_COMMANDS))
    for option in ("--help", "--version", "--install-completion"):
        app[option].group = other
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status. No error prints a traceback.

    Set RINGBACK_DEBUG to print it.
    """
    never_fail_to_encode()
    try:
        _quiet_libraries()
        status = build_app(arguments)(list(arguments))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        forget_stdout()
        return EXIT_CLOSED_PIPE
    except CycloptsError as exc:
        words = ("ringback", *(exc.command_chain or ()), "--help")
        complain(f"{_sentence(exc)}\nSee `{' '.join(words)}`.")
        return EXIT_BAD_INPUT
    except ModuleNotFoundError:
        # `main` says how to install what is missing.
        raise
    except Exception as exc:  # ruff: ignore[blind-except]  # the last place that can report an error
        return report_failure(exc)
    return int(status or 0)


def report_failure(exc: Exception) -> int:
    """Print the error, and return the exit status."""
    # Imported here: these modules are slow to import, and most commands do not fail.
    from ringback.local.child import LocalStackError  # ruff: ignore[import-outside-top-level]
    from ringback.runtime.amqp.topology import TopologyError  # ruff: ignore[import-outside-top-level]
    from ringback.runtime.postgres.migrate import MigrationError  # ruff: ignore[import-outside-top-level]
    from ringback.runtime.process.settings import SettingsError  # ruff: ignore[import-outside-top-level]

    match exc:
        case SettingsError():
            complain(f"Invalid settings:\n{exc}")
            return EXIT_BAD_INPUT
        case BadInputError():
            complain(str(exc))
            return EXIT_BAD_INPUT
        case CommandError() | LocalStackError() | MigrationError() | TopologyError():
            complain(f"{exc}{_hint(str(exc))}")
        case _:
            complain(
                f"Unexpected error in Ringback: {type(exc).__name__}: {printable(str(exc))}\n"
                "Set RINGBACK_DEBUG=1 to see the traceback."
            )
            if os.environ.get("RINGBACK_DEBUG"):
                err().print_exception()
    return EXIT_FAILED


def _hint(sentence: str) -> str:
    if "cannot be reached" not in sentence:
        return ""
    return (
        "\nIs it running? `ringback up` starts everything on this machine; "
        "`ringback --help` lists the settings for another address."
    )


def _quiet_libraries() -> None:
    """Keep libraries from logging errors that the command reports itself."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for name in ("aiormq", "aio_pika", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _sentence(exc: CycloptsError) -> str:
    return " ".join(str(exc).split())
