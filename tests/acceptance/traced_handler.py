"""A handler that begins a span of its own, and calls a service by an instrumented client."""

import os

import aiohttp
from opentelemetry import trace
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor

from ringback.handlers import Event, handles

AioHttpClientInstrumentor().instrument()
tracer = trace.get_tracer("traced_handler")


@handles("ringback.demo")
async def look_up(event: Event) -> None:
    with tracer.start_as_current_span("look up", attributes={"job": str(event.job_id)}):
        async with aiohttp.ClientSession() as session, session.get(os.environ["LOOK_UP_AT"]):
            pass
