import os
import sys
import webbrowser
from collections.abc import Mapping
from typing import Annotated

from cyclopts import App, Parameter
from rich.text import Text

from ringback.cli.client.metrics import (
    DEFAULT_OPTIONS,
    CommonOptions,
    metrics_client,
    print_json,
)
from ringback.cli.terminal import err, out

console = App(name="console", help_epilogue="")


@console.default
async def _console(
    *,
    browser: Annotated[bool, Parameter(show_default=False)] = True,
    options: CommonOptions = DEFAULT_OPTIONS,
) -> None:
    """Open the console in a browser, signed in as you.

    The link contains a code that signs in once, within a minute. It is printed as well, for a
    browser on another machine. Your token decides what you may see and do there.

    Parameters
    ----------
    browser
        Open a browser on this machine, if it has one.
    """
    async with metrics_client(options) as client:
        answer = await client.create_console_code()
    if options.json:
        print_json(answer)
        return
    if not answer.sign_in_url:
        out().print(answer.code, soft_wrap=True)
        err().print(
            "The service does not know the address of its console (RINGBACK_CONSOLE_URL). Open the "
            "console and paste this code; it signs in once, within a minute.",
            soft_wrap=True,
        )
        return
    link = f"{answer.sign_in_url}#code={answer.code}"
    out().print(link, soft_wrap=True)
    is_opened = browser and has_browser(os.environ) and _show(link)
    how = "Opened in your browser." if is_opened else "Open this link in a browser."
    err().print(Text(f"{how} It signs in once, within a minute.", "dim"), soft_wrap=True)


def has_browser(environ: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Whether a browser has a screen. Without one, a text browser would take over the terminal."""
    if platform in {"darwin", "win32"}:
        return not environ.get("SSH_CONNECTION")
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def _show(link: str) -> bool:
    if not link.startswith(("https://", "http://")):
        return False
    try:
        return webbrowser.open(link)
    except webbrowser.Error:
        return False
