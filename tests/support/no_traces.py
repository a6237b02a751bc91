"""A tracer that is off, as in a service that nobody asked to trace."""

from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from ringback.runtime.tracing import Tracer

NO_TRACES = Tracer(ALWAYS_OFF, None)
