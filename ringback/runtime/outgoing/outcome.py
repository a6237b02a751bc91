"""What the end of a call shows about its destination. Pure; it imports no client library.

An answer of 5xx, 408, 425 or 429, a timeout, and a refused or broken connection are failures. Any
other answer is a success. A cancellation and any other error show nothing.
"""

from collections.abc import Iterator

from ringback.runtime.outgoing.breaker import Outcome

_SERVER_FAILED = 500
_OVERLOADED = frozenset({408, 425, 429})
_STATUSES = range(100, 600)
_MAX_CAUSES = 10

_ABOUT_FILES = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError)
_FAILURES_OF_LIBRARIES = frozenset(
    {
        ("aiohttp", "ClientConnectionError"),
        ("aiohttp", "ClientPayloadError"),
        ("aiohttp", "HttpProcessingError"),
        ("aiohttp", "ServerTimeoutError"),
        # Its base class is of timeouts, connections, protocols and proxies.
        ("httpx", "TransportError"),
        ("httpcore", "NetworkError"),
        ("httpcore", "ProtocolError"),
        ("httpcore", "TimeoutException"),
        ("requests", "ConnectionError"),
        ("requests", "Timeout"),
        ("httplib2", "ServerNotFoundError"),
        ("urllib3", "NewConnectionError"),
        ("urllib3", "ProtocolError"),
        ("urllib3", "TimeoutError"),
    }
)
"""Names of classes by their package, which may not be installed."""


def outcome_of_status(status: int) -> Outcome:
    is_failed = status >= _SERVER_FAILED or status in _OVERLOADED
    return Outcome.FAILED if is_failed else Outcome.SUCCEEDED


def outcome_of_error(
    error: BaseException | None, failures: tuple[type[BaseException], ...] = ()
) -> Outcome:
    """The outcome of a call that raised `error`, or that returned if it is None.

    An error raised `from` another counts as that one too, and a group as its worst error.
    """
    if error is None:
        return Outcome.SUCCEEDED
    found = [_outcome_of_one(one, failures) for one in _chain(error)]
    for outcome in (Outcome.FAILED, Outcome.SUCCEEDED):
        if outcome in found:
            return outcome
    return Outcome.CANCELLED


def status_of(error: BaseException) -> int | None:
    """The HTTP status in an error of any client library; None if it has none."""
    if _is_of_library(error.__cause__):
        # aiohttp's error for an answer that is not HTTP has a status that nobody sent.
        return None
    response = getattr(error, "response", None)
    for source, name in (
        (error, "status"),
        (error, "status_code"),
        (response, "status_code"),
        (response, "status"),
    ):
        value = getattr(source, name, None)
        if isinstance(value, int) and value in _STATUSES:
            return int(value)
    return None


def _outcome_of_one(error: BaseException, failures: tuple[type[BaseException], ...]) -> Outcome:
    if isinstance(error, failures):
        return Outcome.FAILED
    status = status_of(error)
    if status is not None:
        return outcome_of_status(status)
    is_failed = _is_os_failure(error) or _is_of_library(error)
    return Outcome.FAILED if is_failed else Outcome.CANCELLED


def _is_of_library(error: BaseException | None) -> bool:
    """Whether a client library reports a failure by this error."""
    return any(
        (base.__module__.partition(".")[0], base.__name__) in _FAILURES_OF_LIBRARIES
        for base in type(error).__mro__
    )


def _is_os_failure(error: BaseException) -> bool:
    """Whether the system reports a timeout or a network error; an open file is not one.

    An address that is not allowed is our own refusal, and has no error number.
    """
    if isinstance(error, TimeoutError):
        return True
    return (
        isinstance(error, OSError)
        and not isinstance(error, _ABOUT_FILES)
        and (error.errno is not None or isinstance(error, ConnectionError))
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, the errors of a group, and what each was raised from."""
    current: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if current is None:
            return
        yield current
        if isinstance(current, BaseExceptionGroup):
            for one in current.exceptions:
                yield from _chain(one)
        # A status is an answer, whatever led to the error.
        current = None if status_of(current) is not None else current.__cause__
