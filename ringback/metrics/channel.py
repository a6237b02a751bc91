"""The connections to the metrics services: balance, repeated calls, detection of dead peers."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc

from ringback.metrics.v1 import admin_service_pb2, metrics_service_pb2

_LARGEST_ANSWER_BYTES = 32 * 1024 * 1024

_ADMIN = admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"]
_METRICS = metrics_service_pb2.DESCRIPTOR.services_by_name["MetricsService"]

#: The path of each method, by its answer: no two methods share one.
METHODS: Mapping[str, str] = {
    method.output_type.full_name: f"/{service.full_name}/{method.name}"
    for service in (_METRICS, _ADMIN)
    for method in service.methods
}

#: gRPC repeats after about 0.1, 0.2, 0.4 and 0.8 s, each varied randomly.
_RETRY_POLICY = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}

_HOST_AND_PORT = re.compile(r"(\[[^\]]+\]|[^:/\[\]]+):\d+")

Options = tuple[tuple[str, str | int], ...]


def service_config() -> Mapping[str, Any]:
    """The balance between replicas, and the calls that gRPC repeats when they are UNAVAILABLE.

    It repeats reads, and changes with a request id. gRPC sends any call again that has not left
    this machine or that the service has not begun.
    """
    names: list[dict[str, str]] = [{"service": _METRICS.full_name}]
    names += [
        {"service": _ADMIN.full_name, "method": method.name}
        for method in _ADMIN.methods
        if "request_id" in method.input_type.fields_by_name
    ]
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [{"name": names, "retryPolicy": _RETRY_POLICY}],
        # While a service is down, a busy client does not send each call five times.
        "retryThrottling": {"maxTokens": 20, "tokenRatio": 0.5},
    }


def channel_options() -> Options:
    return (
        ("grpc.service_config", json.dumps(service_config())),
        ("grpc.max_receive_message_length", _LARGEST_ANSWER_BYTES),
        # A connection that died silently is noticed while a call waits on it.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # After an outage the next call finds the service within seconds, also at a new address.
        ("grpc.max_reconnect_backoff_ms", 5_000),
        ("grpc.dns_min_time_between_resolutions_ms", 5_000),
    )


def target_of(address: str) -> str:
    """The target of `host:port`: all addresses of that name. Other targets of gRPC stay as is."""
    return f"dns:///{address}" if _HOST_AND_PORT.fullmatch(address) else address


def credentials_of(*, tls: bool, root_certificates: Path | None) -> grpc.ChannelCredentials | None:
    """None without TLS. Raises OSError if the file cannot be read."""
    if not tls and root_certificates is None:
        return None
    roots = root_certificates.read_bytes() if root_certificates else None
    return grpc.ssl_channel_credentials(roots)
