"""Turns the declaration of a call into a method of both clients, the async and the sync one.

A declaration is a function that makes the request from the arguments of the method.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, overload

from google.protobuf.message import Message

from ringback.metrics.calling import Answer, AsyncCaller, SyncCaller
from ringback.metrics.pages import Answer as Page
from ringback.metrics.pages import AsyncPages, Item, Pages

P = ParamSpec("P")
Request = Callable[Concatenate[Any, P], Message]


class Unary(Generic[P, Answer]):
    """A call with one answer."""

    def __init__(self, request: Request[P], answer: type[Answer]) -> None:
        self._request = request
        self._answer = answer

    @overload
    def __get__(
        self, client: AsyncCaller, owner: type
    ) -> Callable[P, Coroutine[Any, Any, Answer]]: ...
    @overload
    def __get__(self, client: SyncCaller, owner: type) -> Callable[P, Answer]: ...
    def __get__(self, client: AsyncCaller | SyncCaller, owner: type) -> Callable[P, Any]:
        @wraps(self._request)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.ask(self._answer, self._request(client, *args, **kwargs))

        return call


class Stream(Generic[P, Answer]):
    """A call with answers until the service or the caller ends it."""

    def __init__(self, request: Request[P], answer: type[Answer]) -> None:
        self._request = request
        self._answer = answer

    @overload
    def __get__(
        self, client: AsyncCaller, owner: type
    ) -> Callable[P, AsyncGenerator[Answer, None]]: ...
    @overload
    def __get__(
        self, client: SyncCaller, owner: type
    ) -> Callable[P, Generator[Answer, None, None]]: ...
    def __get__(self, client: AsyncCaller | SyncCaller, owner: type) -> Callable[P, Any]:
        @wraps(self._request)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.follow(self._answer, self._request(client, *args, **kwargs))

        return call


class Listing(Generic[P, Page, Item]):
    """A call that returns a list, page by page."""

    def __init__(
        self,
        request: Request[P],
        answer: type[Page],
        items: Callable[[Page], Iterable[Item]],
    ) -> None:
        self._request = request
        self._answer: Any = answer
        self._items = items

    @overload
    def __get__(self, client: AsyncCaller, owner: type) -> Callable[P, AsyncPages[Page, Item]]: ...
    @overload
    def __get__(self, client: SyncCaller, owner: type) -> Callable[P, Pages[Page, Item]]: ...
    def __get__(self, client: AsyncCaller | SyncCaller, owner: type) -> Callable[P, Any]:
        @wraps(self._request)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            request: Any = self._request(client, *args, **kwargs)

            def fetch(page_token: str) -> Any:
                asked = type(request)()
                asked.CopyFrom(request)
                asked.page_token = page_token
                return client.ask(self._answer, asked)

            pages: type[Any] = AsyncPages if isinstance(client, AsyncCaller) else Pages
            return pages(fetch, self._items)

        return call


def unary(answer: type[Answer]) -> Callable[[Request[P]], Unary[P, Answer]]:
    return lambda request: Unary(request, answer)


def stream(answer: type[Answer]) -> Callable[[Request[P]], Stream[P, Answer]]:
    return lambda request: Stream(request, answer)


def listing(
    answer: type[Page], items: Callable[[Page], Iterable[Item]]
) -> Callable[[Request[P]], Listing[P, Page, Item]]:
    return lambda request: Listing(request, answer, items)
