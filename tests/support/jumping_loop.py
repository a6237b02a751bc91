"""An event loop whose clock jumps: time passes only while every task waits."""

import asyncio
import selectors


class JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for a timer, moves the clock to it."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now_s += timeout or 0.0
        return super().select(timeout and 0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """A busy machine does not change its time."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s
