"""The attributes that all spans of a process share."""

from opentelemetry.sdk.resources import Resource

import ringback
from ringback.runtime.tracing.shape import Value

NAMESPACE = "ringback"
SCOPE = "ringback"


def resource_of(service: str) -> dict[str, Value]:
    """OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME in the environment override ours."""
    ours = {
        "service.namespace": NAMESPACE,
        "service.name": f"{NAMESPACE}-{service}",
        "service.version": ringback.__version__,
    }
    theirs = {
        name: value
        for name, value in Resource.create().attributes.items()
        if isinstance(value, str | int | float | bool)
        and not (name == "service.name" and str(value).startswith("unknown_service"))
    }
    return {**ours, **theirs}
