import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import uvloop
from cyclopts import App, Parameter
from cyclopts.validators import Number
from rich.live import Live
from rich.text import Text

from chaos.load.ledger import LedgerWriter
from chaos.load.sender import Load, Sending, send_all
from chaos.load.webhook import Mix
from ringback.cli.client.addresses import WEBHOOK_PATH
from ringback.cli.terminal import EXIT_FAILED, BadInputError, err, stop_on_interrupt

_Rate = Annotated[float, Parameter(validator=Number(gt=0, lte=5000))]
_Seconds = Annotated[float, Parameter(validator=Number(gt=0, lte=7 * 86400))]

load = App(name="load", help_epilogue="")


@load.default
def _load(
    *,
    url: str,
    ledger: Path,
    rate: _Rate = 20.0,
    seconds: _Seconds = 60.0,
    secret: Annotated[str | None, Parameter(env_var="RINGBACK_VAPI_SECRET")] = None,
    failing: Annotated[int, Parameter(validator=Number(gte=0, lte=10))] = 0,
    calls: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Send unique webhooks at an even rate and write each into a ledger.

    The event types begin with `ringback.chaos`; no call sends them. Ctrl-C stops it and waits for
    the missing answers; if it is killed, its ledger is still valid for `check`. The exit status is
    0 if a webhook was accepted.

    Parameters
    ----------
    url
        The URL of the gateway. Without a path, /api/webhooks/vapi is added.
    ledger
        The file to write. It must not exist yet.
    rate
        Webhooks a second, however fast the answers are.
    seconds
        How long to send.
    secret
        The secret that the gateway expects in X-Vapi-Secret.
    failing
        How many of ten webhooks fail twice before they succeed. Needs the handlers of the suite.
    calls
        Let the handler of each webhook call the suite's own service.
    """
    plan = Load(
        url=_webhook_url(url),
        headers={"X-Vapi-Secret": secret} if secret else {},
        run=f"chaos-{secrets.token_hex(4)}",
        mix=Mix(failing_in_ten=failing, is_calling=calls),
        per_s=rate,
        seconds=seconds,
    )
    sending = uvloop.run(_send(plan, ledger))
    return 0 if sending.accepted else EXIT_FAILED


async def _send(plan: Load, path: Path) -> Sending:
    sending = Sending()
    with stop_on_interrupt() as stop, _ledger(path, plan) as ledger, _shown(sending) as show:
        await send_all(plan, ledger, stop, sending, show)
    err().print(_progress(sending))
    return sending


def _ledger(path: Path, plan: Load) -> LedgerWriter:
    try:
        return LedgerWriter(path, run=plan.run, url=plan.url)
    except FileExistsError:
        raise BadInputError(
            f"The file {path} exists already. Choose a new file: a ledger is for one run."
        ) from None
    except OSError as exc:
        raise BadInputError(f"The ledger {path} cannot be written: {exc.strerror}.") from exc


@contextmanager
def _shown(sending: Sending) -> Generator[Callable[[], None], None, None]:
    """Show a line that is updated while sending, if a person is watching."""
    console = err()
    if not console.is_terminal:
        yield lambda: None
        return
    with Live(console=console, transient=True, refresh_per_second=4) as live:
        yield lambda: live.update(_progress(sending))


def _progress(sending: Sending) -> Text:
    return Text(
        f"{sending.sent} sent, {sending.accepted} accepted, {sending.refused} refused, "
        f"{sending.unanswered} without an answer, {len(sending.open)} in flight"
    )


def _webhook_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadInputError(f"{url!r} is not a URL. Give one such as https://webhooks.example.com.")
    return url if parts.path.strip("/") else f"{url.rstrip('/')}{WEBHOOK_PATH}"
