"""A dispatcher whose methods a test defines."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from ringback.runtime.observability.tracing import untraced
from ringback.services.metrics.auth.authenticator import Authenticator
from ringback.services.metrics.auth.keys import secret_key
from ringback.services.metrics.instruments import CallInstruments
from ringback.services.metrics.transport.call import Call, Peer, Transport
from ringback.services.metrics.transport.dispatcher import Dispatcher
from ringback.services.metrics.transport.methods import Method, methods_of
from tests.support.tokens import JWT_SECRET, bearer

METHODS = {method.name: method for method in methods_of()}

Unary = Callable[[Any, Call], Awaitable[Message]]
Stream = Callable[[Any, Call], AsyncGenerator[Message, None]]


class ScriptedApi:
    """Implements both services: each method as the test set it, or with one empty answer."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.stopping = asyncio.Event()
        self.calls: list[tuple[str, Message, Call]] = []
        self._scripts: dict[str, Unary | Stream] = {}
        self.authenticator = Authenticator(secret_key(JWT_SECRET), "ringback", None)
        methods = methods_of()
        self.dispatcher = Dispatcher(
            methods,
            [_Implementation(self)],
            authenticator=self.authenticator,
            instruments=CallInstruments(self.registry, methods),
            stopping=self.stopping,
        )

    def on(self, name: str, script: Unary | Stream) -> None:
        self._scripts[name] = script

    def script(self, method: Method) -> Unary | Stream:
        plain = _streamed(method) if method.is_server_streaming else _answered(method)
        return self._scripts.get(method.name, plain)

    async def ask(
        self,
        name: str,
        request: Message | Callable[[], Awaitable[Message]] | None = None,
        *,
        authorization: str | None = "",
        timeout_s: float | None = None,
    ) -> list[Message]:
        """All answers. The default token is a service's."""
        method = METHODS[name]
        terms: dict[str, Any] = {
            "authorization": bearer() if not authorization and authorization is not None
            else authorization,
            "timeout_s": timeout_s,
            "peer": Peer(Transport.REST, "here"),
            "span": untraced(),
        }  # fmt: skip
        if request is None:
            request = method.request_class()
        if method.is_server_streaming:
            return [one async for one in self.dispatcher.stream(method, request, **terms)]
        return [await self.dispatcher.unary(method, request, **terms)]

    def counted(self, name: str, code: str, transport: Transport = Transport.REST) -> float | None:
        labels = {"method": METHODS[name].full_name, "transport": transport, "code": code}
        return self.registry.get_sample_value("rpc_server_calls_total", labels)


class _Implementation:
    def __init__(self, api: ScriptedApi) -> None:
        self._api = api

    def __getattr__(self, name: str) -> Unary | Stream:
        [method] = [one for one in METHODS.values() if one.python_name == name]

        def run(request: Message, call: Call) -> Any:
            self._api.calls.append((method.name, request, call))
            return self._api.script(method)(request, call)

        return run


def _answered(method: Method) -> Unary:
    async def answer(_request: Message, _call: Call) -> Message:
        await asyncio.sleep(0)
        return method.response_class()

    return answer


def _streamed(method: Method) -> Stream:
    async def answer(_request: Message, _call: Call) -> AsyncGenerator[Message, None]:
        await asyncio.sleep(0)
        yield method.response_class()

    return answer
