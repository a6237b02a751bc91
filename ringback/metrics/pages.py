from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from typing import Generic, Protocol, TypeVar


class Page(Protocol):
    """The common part of all list answers."""

    @property
    def next_page_token(self) -> str: ...


Answer = TypeVar("Answer", bound=Page)
Item = TypeVar("Item")


class AsyncPages(Generic[Answer, Item]):
    """A list in pages; each page is fetched when the one before is used up.

    `async for item in pages` iterates over all items, `async for page in pages.by_page()` over the
    answers. Iterating again fetches again.
    """

    def __init__(
        self,
        fetch: Callable[[str], Awaitable[Answer]],
        items: Callable[[Answer], Iterable[Item]],
    ) -> None:
        self._fetch = fetch
        self._items = items

    def __aiter__(self) -> AsyncIterator[Item]:
        return self._each()

    async def by_page(self) -> AsyncGenerator[Answer, None]:
        """The answers, page by page; an empty one may still have a next. Raises MetricsError."""
        token = ""
        while True:
            page = await self._fetch(token)
            yield page
            token = page.next_page_token
            if not token:
                return

    async def _each(self) -> AsyncGenerator[Item, None]:
        async for page in self.by_page():
            for item in self._items(page):
                yield item


class Pages(Generic[Answer, Item]):
    """The same without asyncio: `for item in pages`, `for page in pages.by_page()`."""

    def __init__(
        self, fetch: Callable[[str], Answer], items: Callable[[Answer], Iterable[Item]]
    ) -> None:
        self._fetch = fetch
        self._items = items

    def __iter__(self) -> Iterator[Item]:
        return (item for page in self.by_page() for item in self._items(page))

    def by_page(self) -> Generator[Answer, None, None]:
        token = ""
        while True:
            page = self._fetch(token)
            yield page
            token = page.next_page_token
            if not token:
                return
