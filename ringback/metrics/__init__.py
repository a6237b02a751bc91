"""The metrics API for callers: generated code, and clients that use it."""

from ringback.metrics.client import MetricsClient, SyncMetricsClient
from ringback.metrics.errors import (
    DeadlineError,
    FieldViolation,
    InvalidRequestError,
    MetricsError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
    UnavailableError,
)

__all__ = (
    "DeadlineError",
    "FieldViolation",
    "InvalidRequestError",
    "MetricsClient",
    "MetricsError",
    "NotFoundError",
    "PermissionDeniedError",
    "PreconditionError",
    "SyncMetricsClient",
    "UnauthenticatedError",
    "UnavailableError",
)
