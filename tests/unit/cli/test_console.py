"""`ringback console` prints the link, and opens it where a browser has a screen."""

import webbrowser

import pytest

from ringback.cli.commands.console import has_browser
from ringback.metrics.v1.admin_service_pb2 import CreateConsoleCodeResponse
from tests.unit.cli.command import Ringback
from tests.unit.metrics_client.scripted_service import ScriptedService, answers

URL = "https://ops.example/console/sign-in"
LINK = f"{URL}#code=c0de"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The links that were opened, on a machine with a screen."""
    links: list[str] = []
    monkeypatch.setenv("DISPLAY", ":0")

    def show(link: str) -> bool:
        links.append(link)
        return True

    monkeypatch.setattr(webbrowser, "open", show)
    return links


@pytest.mark.parametrize(
    ("url", "arguments", "printed", "links"),
    [
        (URL, [], LINK, [LINK]),
        (URL, ["--no-browser"], LINK, []),
        ("", [], "c0de", []),
        ("javascript:alert(1)", [], "javascript:alert(1)#code=c0de", []),
    ],
)
def test_the_link_is_printed_and_opened(
    service: ScriptedService,
    ringback: Ringback,
    opened: list[str],
    url: str,
    arguments: list[str],
    printed: str,
    links: list[str],
) -> None:
    """Without the console's address, the code alone is printed, to paste it there."""
    service.answer = answers(CreateConsoleCodeResponse(code="c0de", sign_in_url=url))

    ended = ringback("console", *arguments)

    assert (ended.status, ended.out.strip(), opened) == (0, printed, links)


@pytest.mark.parametrize(
    ("environ", "platform", "expected"),
    [
        ({}, "linux", False),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "darwin", True),
        ({"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, "darwin", False),
    ],
)
def test_a_browser_needs_a_screen(
    environ: dict[str, str], platform: str, *, expected: bool
) -> None:
    """A text browser in the terminal is none."""
    assert has_browser(environ, platform) is expected
