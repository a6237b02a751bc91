"""What an error of any client library shows about the destination."""

import asyncio
import socket
import ssl
from typing import Any
from unittest.mock import Mock

import aiohttp
import httpx
import pytest
import requests
from yarl import URL

from ringback.runtime.outgoing.breaker import Outcome
from ringback.runtime.outgoing.client import AddressNotAllowedError
from ringback.runtime.outgoing.outcome import outcome_of_error, status_of

SUCCEEDED, FAILED, CANCELLED = Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED
SENT = httpx.Request("GET", "https://example.com")


class SdkError(Exception):
    """As the SDKs of Twilio, Google and others have it."""

    def __init__(self, **attributes: object) -> None:
        super().__init__("no")
        self.__dict__.update(attributes)


def of_aiohttp(status: int) -> aiohttp.ClientResponseError:
    about = aiohttp.RequestInfo(URL("https://x"), "GET", Mock(), URL("https://x"))
    return aiohttp.ClientResponseError(about, (), status=status)


def of_httpx(status: int) -> httpx.HTTPStatusError:
    return httpx.HTTPStatusError("no", request=SENT, response=httpx.Response(status))


def of_requests(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError("no", response=response)


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("make", [of_aiohttp, of_httpx, of_requests])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, FAILED) for status in (408, 425, 429, 500, 502, 503, 504, 599)),
        *((status, SUCCEEDED) for status in (304, 400, 401, 403, 404, 409, 410, 422, 499)),
    ],
)
def test_a_status_counts_in_every_library(make: Any, status: int, expected: Outcome) -> None:
    assert status_of(make(status)) == status
    assert outcome_of_error(make(status)) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, SUCCEEDED),
        (TimeoutError(), FAILED),
        (ConnectionResetError(), FAILED),
        (socket.gaierror(-2, "unknown name"), FAILED),
        (ssl.SSLError(1, "bad certificate"), FAILED),
        (OSError(113, "no route"), FAILED),
        (aiohttp.ServerDisconnectedError(), FAILED),
        (aiohttp.ClientPayloadError(), FAILED),
        (aiohttp.ServerTimeoutError(), FAILED),
        (httpx.ConnectTimeout("late"), FAILED),
        (httpx.RemoteProtocolError("what"), FAILED),
        (requests.ConnectionError(), FAILED),
        (requests.ReadTimeout(), FAILED),
        (requests.exceptions.InvalidURL(), CANCELLED),
        (SdkError(status=503), FAILED),
        (SdkError(status_code=404), SUCCEEDED),
        (SdkError(response=Mock(status_code=429)), FAILED),
        (SdkError(status="failed"), CANCELLED),
        (SdkError(status=7), CANCELLED),
        (asyncio.CancelledError(), CANCELLED),
        (FileNotFoundError(2, "no such file"), CANCELLED),
        (AddressNotAllowedError(), CANCELLED),
        (ValueError("a bug"), CANCELLED),
        (caused(ValueError("wrapped"), TimeoutError()), FAILED),
        (caused(SdkError(status=404), TimeoutError()), SUCCEEDED),
        (ExceptionGroup("both", [ValueError(), TimeoutError()]), FAILED),
        (BaseExceptionGroup("both", [asyncio.CancelledError()]), CANCELLED),
    ],
)
def test_an_error_is_a_failure_of_the_destination_or_shows_nothing(
    error: BaseException | None, expected: Outcome
) -> None:
    assert outcome_of_error(error) is expected


def test_a_library_s_own_error_can_be_named() -> None:
    assert outcome_of_error(KeyError()) is CANCELLED
    assert outcome_of_error(KeyError(), (LookupError,)) is FAILED


def test_a_chain_without_end_is_read_to_an_end() -> None:
    error = ValueError()
    error.__cause__ = error

    assert outcome_of_error(error) is CANCELLED
