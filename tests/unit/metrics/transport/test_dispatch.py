"""Tests for ringback.services.metrics.transport.dispatcher: what happens once for every call."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import product
from typing import Any
from uuid import UUID

import grpc
import pytest
import structlog
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from ringback.metrics.v1.metrics_service_pb2 import (
    GetDeliveryRequest,
    GetDeliveryResponse,
    GetQueueHealthRequest,
    WatchQueueHealthResponse,
)
from ringback.runtime.observability.tracing import untraced
from ringback.runtime.process.lifecycle import CannotStartError
from ringback.services.metrics.instruments import CallInstruments
from ringback.services.metrics.transport.call import Call, Peer, Transport
from ringback.services.metrics.transport.dispatcher import Dispatcher
from ringback.services.metrics.transport.errors import ApiError, no_such_delivery
from ringback.services.metrics.transport.methods import methods_of
from tests.support.tokens import bearer
from tests.unit.metrics.transport.scripted_api import METHODS, ScriptedApi

ORG = UUID("0190f5c4-0000-7000-8000-000000000001")
JOB = UUID("0190f5c4-0000-7000-8000-000000000002")


@pytest.fixture
def api() -> ScriptedApi:
    return ScriptedApi()


async def rejection_of(api: ScriptedApi, name: str, *args: Any, **terms: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await api.ask(name, *args, **terms)
    return caught.value


async def test_a_request_is_parsed_only_for_authorized_callers(api: ScriptedApi) -> None:
    """An untrusted caller cannot make us parse a body."""
    read = []

    async def reader() -> Message:
        await asyncio.sleep(0)
        read.append(True)
        return GetQueueHealthRequest()

    await rejection_of(api, "GetQueueHealth", reader, authorization=None)
    await rejection_of(api, "GetQueueHealth", reader, authorization=bearer("tenant", ORG))
    assert not read

    await api.ask("GetQueueHealth", reader)
    assert read


async def test_a_call_without_a_deadline_gets_the_default(api: ScriptedApi) -> None:
    """Ten seconds by default, or what the caller sets, up to a minute."""
    now = asyncio.get_running_loop().time
    for name, timeout_s, allowed_s in (
        *(("GetQueueHealth", None, 10), ("GetQueueHealth", 3, 3), ("GetQueueHealth", 3600, 60)),
        *(("WatchQueueHealth", None, 86400), ("WatchQueueHealth", 3600, 3600)),
    ):
        before_s = now()
        await api.ask(name, timeout_s=timeout_s)
        *_, (_, _, call) = api.calls
        assert before_s <= call.deadline - allowed_s <= now()


@pytest.mark.parametrize("timeout_s", [0.05, 0, -1])
async def test_a_call_that_takes_too_long_is_cut(api: ScriptedApi, timeout_s: float) -> None:
    """The method is cancelled, and the caller gets the error."""
    cut = asyncio.Event()

    async def hang(_request: Message, _call: Call) -> Message:
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()
        return GetDeliveryResponse()

    api.on("GetQueueHealth", hang)

    error = await rejection_of(api, "GetQueueHealth", timeout_s=timeout_s)

    assert error.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert cut.is_set()


async def test_a_stream_is_closed_when_abandoned_and_at_its_deadline(api: ScriptedApi) -> None:
    """Also between two answers; the earlier ones arrive."""
    closed = asyncio.Event()

    async def once(_request: Message, _call: Call) -> AsyncGenerator[Message, None]:
        try:
            yield WatchQueueHealthResponse()
            await asyncio.Event().wait()
        finally:
            closed.set()

    api.on("WatchQueueHealth", once)
    async with aclosing(stream(api)) as abandoned:
        await anext(abandoned)
    assert closed.is_set()
    assert api.counted("WatchQueueHealth", "CANCELLED") == 1
    closed.clear()

    answers = stream(api, timeout_s=0.5)
    with pytest.raises(ApiError) as caught:
        assert [answer async for answer in answers] == []

    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert closed.is_set()
    assert api.counted("WatchQueueHealth", "DEADLINE_EXCEEDED") == 1


def stream(api: ScriptedApi, timeout_s: float | None = None) -> AsyncGenerator[Message, None]:
    method = METHODS["WatchQueueHealth"]
    return api.dispatcher.stream(
        method,
        method.request_class(),
        authorization=bearer(),
        timeout_s=timeout_s,
        peer=Peer(Transport.REST, "here"),
        span=untraced(),
    )


@pytest.mark.parametrize(
    "raised",
    [
        ValueError("SELECT secret FROM host"),
        TimeoutError("SELECT secret FROM host"),
        KeyError("SELECT secret FROM host"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_unexpected_error_is_not_shown(api: ScriptedApi, raised: Exception) -> None:
    """The caller gets a fixed sentence; the log gets the error with its stack."""

    async def fail(_request: Message, _call: Call) -> Message:
        await asyncio.sleep(0)
        raise raised

    async def break_off(_request: Message, _call: Call) -> AsyncGenerator[Message, None]:
        await asyncio.sleep(0)
        yield WatchQueueHealthResponse()
        raise raised

    api.on("GetQueueHealth", fail)
    api.on("WatchQueueHealth", break_off)
    with structlog.testing.capture_logs() as lines:
        for name in ("GetQueueHealth", "WatchQueueHealth"):
            error = await rejection_of(api, name)

            assert error.code is grpc.StatusCode.INTERNAL
            assert error.message == "Internal error; it was logged."

    failed = [line for line in lines if line["event"] == "rpc.failed"]
    assert [line["exc_info"] for line in failed] == [raised, raised]


async def test_each_call_is_one_wide_line(api: ScriptedApi) -> None:
    """Who called what, how it ended and why, without the token."""

    async def nothing_there(_request: Message, _call: Call) -> Message:
        await asyncio.sleep(0)
        raise no_such_delivery(JOB)

    api.on("GetDelivery", nothing_there)
    tenant = bearer("tenant", ORG, subject="ops")
    with structlog.testing.capture_logs() as lines:
        await api.ask("ListDeliveries", authorization=tenant)
        await rejection_of(
            api, "GetDelivery", GetDeliveryRequest(job_id=str(JOB)), authorization=tenant
        )
        await rejection_of(api, "ListDeliveries", authorization="Bearer sesame")

    good, missed, stranger = lines
    assert good.pop("duration_ms") >= 0
    assert re.fullmatch(r"[0-9a-f]{32}", good.pop("trace_id"))
    assert re.fullmatch(r"[0-9a-f]{16}", good.pop("span_id"))
    assert good == {
        "event": "rpc.finished",
        "log_level": "info",
        "method": METHODS["ListDeliveries"].full_name,
        "transport": "rest",
        "code": "OK",
        "reason": None,
        "cause": None,
        "messages": 1,
        "role": "tenant",
        "org_id": str(ORG),
        "subject": "ops",
        "peer": "here",
    }
    assert (missed["code"], missed["reason"]) == ("NOT_FOUND", "DELIVERY_NOT_FOUND")
    assert (stranger["code"], stranger["role"], stranger["log_level"]) == (
        "UNAUTHENTICATED",
        None,
        "warning",
    )
    assert stranger["cause"] == "DecodeError: Not enough segments"
    assert "sesame" not in str(lines)


async def test_known_series_are_there_from_the_start(api: ScriptedApi) -> None:
    """A rate needs its 0: an error that happens for the first time is seen."""
    counted = {
        (sample.labels["method"], sample.labels["transport"], sample.labels["code"]): sample.value
        for family in api.registry.collect()
        for sample in family.samples
        if sample.name == "rpc_server_calls_total"
    }
    for method, transport, code in product(methods_of(), Transport, ("INTERNAL", "OK")):
        assert counted[method.full_name, transport, code] == 0

    await api.ask("GetQueueHealth")

    assert api.counted("GetQueueHealth", "OK") == 1
    assert api.counted("RetryDelivery", "ALREADY_EXISTS") == 0
    labels = {"method": METHODS["GetQueueHealth"].full_name, "transport": "rest"}
    assert api.registry.get_sample_value("rpc_server_call_duration_seconds_count", labels) == 1


async def test_streams_do_not_count_as_slow(api: ScriptedApi) -> None:
    """The caller decides how long a stream lasts."""
    await api.ask("WatchQueueHealth")

    labels = {"method": METHODS["WatchQueueHealth"].full_name, "transport": "rest"}
    assert api.registry.get_sample_value("rpc_server_call_duration_seconds_count", labels) is None
    assert api.counted("WatchQueueHealth", "OK") == 1


def test_a_method_that_nothing_implements_stops_the_start(api: ScriptedApi) -> None:
    """It is found when the service starts, not at the first call."""
    with pytest.raises(CannotStartError, match=r"^Nothing implements .*GetQueueHealth\.$"):
        Dispatcher(
            methods_of(),
            [object()],
            authenticator=api.authenticator,
            instruments=CallInstruments(CollectorRegistry(), methods_of()),
            stopping=api.stopping,
        )
