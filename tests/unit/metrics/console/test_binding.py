"""Requests that no page expects: each is answered by a page, whatever fails."""

import threading
from collections.abc import Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request
from opentelemetry.trace import INVALID_SPAN
from pydantic import SecretStr
from structlog.testing import capture_logs

from ringback.services.metrics.console.binding import ConsoleBinding
from ringback.services.metrics.console.codes import ConsoleCodes
from ringback.services.metrics.console.page import Page, Result, Route, Visit
from ringback.services.metrics.console.routes import ROUTES
from ringback.services.metrics.console.settings import ConsoleSettings
from ringback.services.metrics.console.sign_in import SignIn
from ringback.services.metrics.transport.call import Peer, Transport
from ringback.services.metrics.transport.errors import Reason
from tests.support.tokens import CONSOLE_SECRET, bearer
from tests.unit.metrics.transport.scripted_api import ScriptedApi

BASE = "/ops/ringback"
FORM = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}


class Rendered(SimpleNamespace):
    """An error whose message is the thread that reads it."""

    @property
    def message(self) -> str:
        return threading.current_thread().name


async def broken(_: Visit) -> Result:  # ruff: ignore[unused-async]  # as a page is
    """Its template needs variables that it does not give."""
    return Page("run.html", "Broken")


async def threaded(_: Visit) -> Result:  # ruff: ignore[unused-async]  # as a page is
    error = Rendered(violations=(), reason=Reason.INTERNAL)
    return Page("error.html", "Where", {"error": error})


async def answered(verb: str, path: str, headers: Mapping[str, str], **more: Any) -> web.Response:
    request = make_mocked_request(verb, BASE + path, headers=headers, **more)
    return await _binding().answer(request, Peer(Transport.CONSOLE, "here"), INVALID_SPAN)


@cache
def _binding() -> ConsoleBinding:
    """Of an API that answers every call with nothing."""
    api = ScriptedApi()
    settings = ConsoleSettings(console_secret=SecretStr(CONSOLE_SECRET), console_path=BASE)
    sign_in = SignIn(api.authenticator, cast(ConsoleCodes, None), None, settings)
    routes = (*ROUTES, Route("GET", "/broken", broken), Route("GET", "/threaded", threaded))
    return ConsoleBinding(api.dispatcher, routes, sign_in, base_path=BASE)


def text_of(response: web.Response) -> str:
    assert isinstance(response.body, bytes)
    return response.body.decode()


async def test_a_template_that_fails_is_an_error_page_and_logged() -> None:
    with capture_logs() as lines:
        response = await answered("GET", "/broken", {"Authorization": bearer()})

    assert response.status == 500
    assert "INTERNAL" in text_of(response)
    assert "run" not in text_of(response).partition("<main")[2]
    assert response.headers["Cache-Control"] == "no-store"
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["page.failed"]


async def test_a_page_is_rendered_beside_the_event_loop() -> None:
    response = await answered("GET", "/threaded", {"Authorization": bearer()})

    assert response.status == 200
    assert f">{threading.current_thread().name}<" not in text_of(response)


@pytest.mark.parametrize(("verb", "status"), [("GET", 504), ("POST", 303)])
async def test_the_calls_of_a_page_share_a_deadline(
    verb: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hanging database does not cost each of them its time. A change is never cut short by it."""
    monkeypatch.setattr(f"{ConsoleBinding.__module__}.PAGE_TIMEOUT_S", 0.0)
    body = StreamReader(Mock(spec=BaseProtocol), 2**16)
    body.feed_eof()

    headers = {**FORM, "Authorization": bearer()}
    response = await answered(verb, "/runs", headers, payload=body)

    assert response.status == status


@pytest.mark.parametrize(
    "error", [web.RequestPayloadError("Can not decode"), ConnectionResetError("Connection lost")]
)
async def test_a_form_that_breaks_off_is_the_fault_of_its_sender(error: Exception) -> None:
    body = StreamReader(Mock(spec=BaseProtocol), 2**16)
    body.set_exception(error)

    with capture_logs() as lines:
        response = await answered("POST", "/runs", FORM, payload=body)

    assert response.status == 400
    assert not lines


async def test_a_form_sent_after_the_session_ended_is_said_to_be_lost() -> None:
    body = StreamReader(Mock(spec=BaseProtocol), 2**16)
    body.feed_eof()

    response = await answered("POST", "/runs", FORM, payload=body)

    assert response.status == 401
    assert "What you sent was not done" in text_of(response)


@pytest.mark.parametrize("count", ["9" * 400, "-1", "1e400", "ten", "\N{ARABIC-INDIC DIGIT ONE}"])
async def test_a_count_in_an_address_that_no_page_made_is_ignored(count: str) -> None:
    path = f"/failures/group?done={count}&skipped={count}"

    response = await answered("GET", path, {"Authorization": bearer()})

    assert response.status == 200
    assert "decided." not in text_of(response)
