"""One process, one event loop, one way to stop."""

import asyncio
import gc
import signal
import sys
from collections.abc import Awaitable, Callable

import structlog
import uvloop

from ringback.contract.telemetry import LogEvent
from ringback.runtime.process.end_by_signal import end_by
from ringback.runtime.process.settings import SettingsError

ServiceMain = Callable[[asyncio.Event], Awaitable[None]]

_YOUNG_OBJECTS = 20_000
"""Objects allocated before a young collection; Python's default of 700 is for smaller programs."""

EXIT_FAILED = 1
EXIT_BAD_SETTINGS = 2


class CannotStartError(Exception):
    """A precondition of the service is not met; the text is a sentence that explains it."""


def run(service_main: ServiceMain) -> int:
    """Run a service until it ends or is stopped, and return its exit status.

    SIGTERM and SIGINT set the event that `service_main` gets; it then stops in its own order. A
    second signal ends the process at once. Errors that an operator can fix are printed as one
    sentence.
    """
    # Objects loaded by now stay; scanning them in each collection takes a tenth of the time.
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 50, 100)
    try:
        uvloop.run(_until_stopped(service_main))
    except SettingsError as exc:
        print(f"These settings cannot be used:\n{exc}", file=sys.stderr)  # ruff: ignore[print]
        return EXIT_BAD_SETTINGS
    except CannotStartError as exc:
        print(exc, file=sys.stderr)  # ruff: ignore[print]
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except Exception:  # ruff: ignore[blind-except]  # the last place that can say what happened
        structlog.get_logger().exception(LogEvent.SERVICE_FAILED)
        return EXIT_FAILED
    return 0


async def _until_stopped(service_main: ServiceMain) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            end_by(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    await service_main(stop)
