"""The connection to a metrics service: which calls it repeats, how it detects a dead connection."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc

from ringback.metrics.v1 import admin_service_pb2, metrics_service_pb2

_LARGEST_ANSWER_BYTES = 32 * 1024 * 1024

_ADMIN = admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"]
_METRICS = metrics_service_pb2.DESCRIPTOR.services_by_name["MetricsService"]

#: Repeating these has no further effect: they carry our request id, or they set a state. Other
#: calls are not repeated: a discarded webhook looks the same as one that somebody else discarded,
#: and the progress of a bulk retry is unknown.
_REPEATABLE_CHANGES = ("RetryDelivery", "RunDuplicate", "PauseProcessing", "ResumeProcessing")

#: gRPC repeats after about 0.1, 0.2, 0.4 and 0.8 s, each varied randomly.
_RETRY_POLICY = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def service_config() -> Mapping[str, Any]:
    """Which calls gRPC repeats while the service is unavailable: reads, and harmless changes."""
    names = [{"service": _METRICS.full_name}]
    names += [
        {"service": _ADMIN.full_name, "method": _ADMIN.methods_by_name[method].name}
        for method in _REPEATABLE_CHANGES
    ]
    return {
        "methodConfig": [{"name": names, "retryPolicy": _RETRY_POLICY}],
        # While a service is down, a busy client does not send each call five times.
        "retryThrottling": {"maxTokens": 20, "tokenRatio": 0.5},
    }


def open_channel(address: str, *, tls: bool, root_certificates: Path | None) -> grpc.aio.Channel:
    """A channel to `host:port`; it connects with the first call.

    With TLS, the service is verified by `root_certificates`, a PEM file, or by the authorities that
    gRPC trusts. Raises OSError if the file cannot be read.
    """
    options = (
        ("grpc.service_config", json.dumps(service_config())),
        ("grpc.max_receive_message_length", _LARGEST_ANSWER_BYTES),
        # A connection that died silently is noticed while a call waits on it.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # After an outage the next call reconnects within seconds, not minutes.
        ("grpc.max_reconnect_backoff_ms", 5_000),
    )
    if not tls and root_certificates is None:
        return grpc.aio.insecure_channel(address, options=options)
    roots = root_certificates.read_bytes() if root_certificates else None
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(roots), options=options)
