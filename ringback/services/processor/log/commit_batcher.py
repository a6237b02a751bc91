"""Combines webhooks that end together into one commit: one fsync, one round trip."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Generic, Self, TypeVar

from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS, INVALID_DATA_ERRORS
from ringback.runtime.postgres.refusal import StatementRefusedError, refusal
from ringback.runtime.process.background import end, keep_running
from ringback.services.processor.database_watch import DatabaseUnavailableError, DatabaseWatch

_OF_SCHEMA = ("3F", "42")
"""Classes of SQLSTATE: a right or a migration is missing, for every webhook. It is waited for."""

_OF_ITEM: tuple[type[BaseException], ...] = (*INVALID_DATA_ERRORS, StatementRefusedError)

Item = TypeVar("Item")
Result = TypeVar("Result")


class CommitBatcher(Generic[Item, Result]):
    """Collect items while earlier ones are being committed, and commit them together.

    Two workers overlap: while one waits for its commit, the other collects. Items with the same key
    are never in the same commit, nor in two at once. `commit` gets items and returns their results
    in the same order. It must be safe to repeat, because a commit whose answer was lost is
    repeated. On exit, all waiting callers are cancelled.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        key: Callable[[Item], Hashable],
        watch: DatabaseWatch,
        *,
        workers: int = 2,
        max_items: int = 100,
        retry_wait_s: float = 0.25,
    ) -> None:
        self._commit = commit
        self._key = key
        self._watch = watch
        self._worker_count = workers
        self._max_items = max_items
        self._retry_wait_s = retry_wait_s
        self._waiting: dict[asyncio.Future[Result], Item] = {}
        self._submitted: set[asyncio.Future[Result]] = set()
        self._busy_keys: set[Hashable] = set()
        self._changed = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        # Asking for the loop is a system call in Python 3.11.
        self._loop = asyncio.get_running_loop()
        self._workers = [
            asyncio.create_task(keep_running(self._work)) for _ in range(self._worker_count)
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        await end(*self._workers)
        for future in self._submitted:
            future.cancel()

    async def submit(self, item: Item) -> Result:
        """Commit an item together with others.

        Raises one of INVALID_DATA_ERRORS, StatementRefusedError if the server refuses it for
        another reason that is in the item, or DatabaseUnavailableError.
        """
        future: asyncio.Future[Result] = self._loop.create_future()
        self._waiting[future] = item
        self._submitted.add(future)
        self._changed.set()
        try:
            return await future
        finally:
            self._waiting.pop(future, None)
            self._submitted.discard(future)

    async def _work(self) -> None:
        while True:
            batch = self._take()
            if not batch:
                self._changed.clear()
                await self._changed.wait()
                continue
            keys = {self._key(item) for item in batch.values()}
            try:
                await self._commit_batch(batch)
            finally:
                self._busy_keys -= keys
                self._changed.set()

    def _take(self) -> dict[asyncio.Future[Result], Item]:
        batch: dict[asyncio.Future[Result], Item] = {}
        for future, item in list(self._waiting.items()):
            if len(batch) == self._max_items:
                break
            if self._key(item) not in self._busy_keys:
                self._busy_keys.add(self._key(item))
                batch[future] = self._waiting.pop(future)
        return batch

    async def _commit_batch(self, batch: dict[asyncio.Future[Result], Item]) -> None:
        """Set the result or error of each future. What is refused of one item fails only that."""
        try:
            results = await self._commit_with_retries(list(batch.values()))
        except _OF_ITEM as exc:
            if len(batch) == 1:
                _fail(batch, exc)
                return
            for future, item in batch.items():
                await self._commit_batch({future: item})
        except Exception as exc:  # ruff: ignore[blind-except]  # the waiting callers must get any error
            _fail(batch, exc)
        else:
            for future, result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)

    async def _commit_with_retries(self, items: Sequence[Item]) -> Sequence[Result]:
        """Commit, and repeat it while the database is unavailable, for as long as webhooks wait."""
        while True:
            try:
                results = await self._commit(items)
            except INVALID_DATA_ERRORS:
                raise
            except DATABASE_UNAVAILABLE_ERRORS as exc:
                refused = refusal(exc)
                if refused and not refused.sqlstate.startswith(_OF_SCHEMA):
                    raise refused from None
                self._watch.failed(exc)
                if self._watch.wait_expired():
                    raise DatabaseUnavailableError from exc
                await asyncio.sleep(self._retry_wait_s)
            else:
                self._watch.answered()
                return results


def _fail(futures: dict[asyncio.Future[Result], Item], exc: BaseException) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(exc)


class RunsBatchers:
    """Runs its commit batchers while entered."""

    def __init__(self, *batchers: CommitBatcher[Any, Any]) -> None:
        self._batchers = batchers
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for batcher in self._batchers:
            await self._stack.enter_async_context(batcher)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
