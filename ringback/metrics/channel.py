"""The connection to a metrics service: what it repeats, and how a dead one is noticed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc

from ringback.metrics.v1 import admin_service_pb2, metrics_service_pb2

_LARGEST_ANSWER_BYTES = 32 * 1024 * 1024

_ADMIN = admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"]
_METRICS = metrics_service_pb2.DESCRIPTOR.services_by_name["MetricsService"]

#: A repeat changes nothing more: by the request id that we send, or because it sets a state. The
#: others are not repeated: a discarded webhook cannot be told from one that somebody else
#: discarded, and nobody knows how far a run of retries came.
_REPEATABLE_CHANGES = ("RetryDelivery", "RunDuplicate", "PauseProcessing", "ResumeProcessing")

#: gRPC repeats by itself, after about 0.1, 0.2, 0.4 and 0.8 s, each by chance a bit more or less.
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
        # A service that is down is not asked five times for each call of a busy client.
        "retryThrottling": {"maxTokens": 20, "tokenRatio": 0.5},
    }


def open_channel(address: str, *, tls: bool, root_certificates: Path | None) -> grpc.aio.Channel:
    """A channel to `host:port`; it connects with the first call.

    With TLS the service is known by `root_certificates`, a PEM file, or by the authorities that
    gRPC trusts. Raises OSError when the file cannot be read.
    """
    options = (
        ("grpc.service_config", json.dumps(service_config())),
        ("grpc.max_receive_message_length", _LARGEST_ANSWER_BYTES),
        # A connection that died without a word is noticed while a call waits on it.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # After an outage the next call finds the service again within seconds, not minutes.
        ("grpc.max_reconnect_backoff_ms", 5_000),
    )
    if not tls and root_certificates is None:
        return grpc.aio.insecure_channel(address, options=options)
    roots = root_certificates.read_bytes() if root_certificates else None
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(roots), options=options)
