"""Tests for ringback.runtime.observability.otel_variables."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.util.re import parse_env_headers

from ringback.runtime.observability.otel_variables import drop_unusable, unusable

EXPORTER = "OTEL_EXPORTER_OTLP_"


VARIABLES: list[tuple[str, list[str], list[str]]] = [
    ("OTEL_TRACES_SAMPLER", ["always_on", "PARENTBASED_ALWAYS_ON"], ["jaeger_remote", "x"]),
    ("OTEL_TRACES_SAMPLER_ARG", ["0", "1", "0.5", "1e-3"], ["-0.1", "1.1", "half", "nan"]),
    ("OTEL_SDK_DISABLED", ["true", "False"], ["yes", "1"]),
    ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", ["0", "128"], ["-1", "1.5", "many", "9" * 99]),
    (
        f"{EXPORTER}ENDPOINT",
        ["http://a:4317", "https://[::1]:4317/", "a:4317", "collector"],
        ["ftp://a", "http://", "http://a:b", "http://[a", "http://a:99999", "http://u:p@a"],
    ),
    (f"{EXPORTER}TRACES_TIMEOUT", ["10", "0.5"], ["0", "-1", "10s", "inf", "nan"]),
    (
        f"{EXPORTER}HEADERS",
        ["a=b", "a=b,c=d=", "a=,", "a=Basic b, c = %3B"],
        ["Bearer b", "a", "a=b,c", "a=\u00e9", "a=b;c", 'a="b"', "a=b\\c", "\u00e9=b"],
    ),
    (f"{EXPORTER}INSECURE", ["true", "FALSE"], ["1"]),
    (f"{EXPORTER}CERTIFICATE", [__file__], ["/nowhere", "/", "a\x00"]),
    (f"{EXPORTER}PROTOCOL", ["grpc", "http/protobuf"], ["http/json", "tcp"]),
    ("OTEL_TRACES_EXPORTER", ["otlp", "None"], ["zipkin", "otlp,console"]),
    ("OTEL_BSP_MAX_QUEUE_SIZE", ["1", "10000"], ["0", "-1", "many", "1.5"]),
    ("OTEL_BSP_SCHEDULE_DELAY", ["500"], ["0", "1s"]),
    ("OTEL_PYTHON_TRACER_PROVIDER", [], ["sdk_tracer_provider"]),
    ("OTEL_PYTHON_CONTEXT", ["contextvars_context"], ["x"]),
    ("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", ["otel,os", "*"], ["otel,x"]),
    ("OTEL_RESOURCE_ATTRIBUTES", ["a=b", "x"], []),
    ("RINGBACK_TRACE_FILE", ["x"], []),
]


@pytest.mark.parametrize(("name", "good", "bad"), VARIABLES)
def test_what_is_not_usable_is_named(name: str, good: list[str], bad: list[str]) -> None:
    """In words that do not show the value."""
    for value in good:
        assert unusable({name: value}) == {}, value
        assert unusable({name: f" {value}\n"}) == {}, value
    for value in bad:
        [(found, reason)] = unusable({name: value}).items()
        assert found == name
        assert reason.startswith("must ")


def test_a_batch_must_fit_into_the_queue() -> None:
    """The SDK would refuse to start with it."""
    environ = {"OTEL_BSP_MAX_QUEUE_SIZE": "100", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "100"}
    assert unusable(environ) == {}

    assert unusable({**environ, "OTEL_BSP_MAX_QUEUE_SIZE": "99"}) == {
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "must not be above OTEL_BSP_MAX_QUEUE_SIZE"
    }


def test_what_is_not_usable_leaves_the_environment() -> None:
    """Empty is not set, and that is not worth a word; nor is a line end."""
    environ = {
        "OTEL_TRACES_SAMPLER": "x",
        f"{EXPORTER}TIMEOUT": " ",
        f"{EXPORTER}COMPRESSION": "none",
        f"{EXPORTER}ENDPOINT": "http://a:4317\n",
    }
    ignored: dict[str, str] = {}

    drop_unusable(environ, ignored)
    drop_unusable(environ, ignored)

    assert list(ignored) == ["OTEL_TRACES_SAMPLER"]
    assert environ == {f"{EXPORTER}ENDPOINT": "http://a:4317"}


@given(st.text('=,;"\\ \tab-é%(', max_size=8))
def test_no_header_that_the_library_would_log_is_left(headers: str) -> None:
    """Its value is a secret."""
    name = f"{EXPORTER}HEADERS"
    environ = {name: headers}
    drop_unusable(environ, {})
    given_headers = [one for one in environ.get(name, "").split(",") if one.strip()]

    read = [parse_env_headers(one, liberal=True) for one in given_headers]

    assert all(len(one) == 1 for one in read), "The library logs what it cannot read."


@given(
    name=st.sampled_from([*(name for name, *_ in VARIABLES), f"{EXPORTER}CLIENT_KEY", "OTEL_X"]),
    value=st.text(),
)
@example(name=f"{EXPORTER}CERTIFICATE", value="a" * 300)
def test_any_text_gets_an_answer(name: str, value: str) -> None:
    assert set(unusable({name: value})) <= {name}
