"""Settings are read from the environment once; one error lists all mistakes."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails

from ringback.contract.redaction.redact_paths import DEFAULTS
from ringback.contract.redaction.redaction import Redaction, redaction_by
from ringback.contract.retry_schedule import RetrySchedule

_MAX_HEADER_VALUE = 4_000
_MAX_DIGITS = 18


def without_slips(text: str, kinds: set[Any]) -> str | Path:
    """Remove what files and shells add to a value. Raises ValueError for likely mistakes."""
    line = text.strip("\r\n")
    stripped = line.strip()
    if stripped[:1] in {"'", '"'} and stripped[0] == stripped[-1]:
        raise ValueError("is in quotes, which would be part of it; leave them out")
    if kinds & {int, float} and len(stripped) > _MAX_DIGITS:
        raise ValueError(f"must be a number of at most {_MAX_DIGITS} digits")
    if Path in kinds:
        return expanded(stripped)
    if SecretStr not in kinds:
        return stripped
    if line != stripped:
        raise ValueError("begins or ends with a blank")
    return line


def kinds_in(annotation: Any) -> set[Any]:
    """List the types in an annotation."""
    parts = [kinds_in(part) for part in get_args(annotation)]
    return {annotation}.union(*parts)


def expanded(path: str) -> Path:
    """Expand a leading `~`, as a shell does."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError("begins with ~, but there is no such home folder") from None


def url_parts(text: str, schemes: tuple[str, ...]) -> SplitResult:
    """Split a URL. Raises ValueError."""
    beginnings = " or ".join(f"{scheme}://" for scheme in schemes)
    sentence = f"must be a URL that begins with {beginnings}, with a number for a port"
    if not text.isprintable() or " " in text:
        raise ValueError("has a blank or a control character in it; a URL has %20 for a blank")
    try:
        parts = urlsplit(text)
        scheme, _ = parts.scheme, parts.port
    except ValueError:
        raise ValueError(sentence) from None
    if scheme not in schemes:
        raise ValueError(sentence)
    return parts


def server_url(value: SecretStr, *schemes: str, needs_host: bool = True) -> SecretStr:
    """Check a server URL that contains user and password. Raises ValueError."""
    parts = url_parts(value.get_secret_value(), schemes)
    if needs_host and not parts.hostname:
        raise ValueError("must be a URL with a host")
    if "#" in value.get_secret_value() or "@" in parts.path + parts.query:
        raise ValueError(
            "has # or @ after the host; in a user or password write %23, %40, and %2F for /"
        )
    return value


def header_value(text: str) -> str:
    """Check that a header can contain it. Raises ValueError."""
    if not text.isascii() or not text.isprintable() or text != text.strip():
        raise ValueError(
            "must be letters, digits and signs of ASCII: a header carries nothing else"
        )
    if len(text) > _MAX_HEADER_VALUE:
        raise ValueError(f"must have at most {_MAX_HEADER_VALUE:,} letters")
    return text


def host(value: str) -> str:
    """Check the address that a server listens on. Raises ValueError."""
    if not all(re.fullmatch(r"\s*[^\s/@?#]+\s*", part) for part in value.split(",")):
        raise ValueError("must be addresses or host names to listen on, without a port, or *")
    return value


PREFIX = "RINGBACK_"


class SettingsError(Exception):
    """The environment is not usable; the text names each variable and its problem."""


class Settings(BaseModel):
    """The base of each service's settings: one field, one variable with the prefix RINGBACK_."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _without_slips(cls, value: object, info: ValidationInfo) -> object:
        """Remove what files and shells add to a value. Refuse likely mistakes."""
        if not isinstance(value, str):
            return value
        kinds = kinds_in(cls.model_fields[info.field_name or ""].annotation)
        return without_slips(value, kinds)


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without line ends around our variables, and without empty ones."""
    return {
        name: value.strip("\r\n") if name.upper().startswith(PREFIX) else value
        for name, value in environ.items()
        if value.strip() or not name.upper().startswith(PREFIX)
    }


def _amqp_url(value: SecretStr) -> SecretStr:
    return server_url(value, "amqp", "amqps")


def _database_url(value: SecretStr) -> SecretStr:
    # Without a host it is a socket on this machine.
    return server_url(value, "postgresql", "postgres", needs_host=False)


def _http_url(value: SecretStr) -> SecretStr:
    return server_url(value, "http", "https")


def _header_secret(value: SecretStr) -> SecretStr:
    header_value(value.get_secret_value())
    return value


HeaderSecret = Annotated[SecretStr, AfterValidator(_header_secret)]
"""A secret that is sent in a header."""


Host = Annotated[str, AfterValidator(host)]
"""Where a server listens."""


def _schedule_text(value: str) -> str:
    RetrySchedule.parse(value)
    return value


class ScheduleSettings(Settings):
    retry_schedule: Annotated[str, AfterValidator(_schedule_text)] = Field(
        default="2s,4s,8s",
        description="Delays between attempts (ms, s, m, h). Their number is the retry limit. "
        "Change it on a running system only as docs/how-to/change-the-retry-schedule.md describes.",
    )

    @property
    def schedule(self) -> RetrySchedule:
        return RetrySchedule.parse(self.retry_schedule)


def _redact_paths(value: str) -> str:
    redaction_by(value)
    return value


class RedactionSettings(Settings):
    redact_paths: Annotated[str, AfterValidator(_redact_paths)] = Field(
        default=DEFAULTS,
        description="Which values of an event are neither stored nor shown, comma separated: "
        "defaults (credentials by their names), more paths, and exceptions after -, such as "
        "defaults,customer.number,-x-request-id. none hides nothing. The same for the processor "
        "and the metrics service. See docs/how-to/redact-credentials.md.",
    )

    @property
    def redaction(self) -> Redaction:
        return redaction_by(self.redact_paths)


class BrokerSettings(ScheduleSettings):
    amqp_url: Annotated[SecretStr, AfterValidator(_amqp_url)] = Field(
        description="RabbitMQ, e.g. amqp://user:password@host:5672/vhost. amqps:// for TLS.",
    )


class ManagementSettings(Settings):
    rabbitmq_management_url: Annotated[SecretStr, AfterValidator(_http_url)] | None = Field(
        default=None,
        description="The broker's management API, such as http://rabbitmq:15672. It reports how "
        "many messages are unacknowledged, which retry schedule is bound, and whether the work "
        "queue is bound. User and virtual host are those of RINGBACK_AMQP_URL.",
    )


class DatabaseSettings(Settings):
    database_url: Annotated[SecretStr, AfterValidator(_database_url)] = Field(
        description="PostgreSQL, e.g. postgresql://user:password@host:5432/ringback.",
    )
    database_pool_min: int = Field(
        default=5, ge=0, le=100, description="Minimum number of open connections to PostgreSQL."
    )
    database_pool_max: int = Field(
        default=20,
        ge=1,
        le=500,
        validate_default=True,
        description="Maximum number of connections to PostgreSQL.",
    )

    @field_validator("database_pool_max")
    @classmethod
    def _not_below_min(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("database_pool_min", 0):
            raise ValueError("must not be below RINGBACK_DATABASE_POOL_MIN")
        return value


class RetentionSettings(Settings):
    retention_days: int = Field(
        default=30, ge=1, le=36_500, description="Days for which finished webhooks stay in the log."
    )


class ObservabilitySettings(Settings):
    observability_host: Host = Field(
        default="*",
        description="Where /metrics, /livez and /readyz listen: addresses with commas between "
        "them, or * for all IPv4 and IPv6 addresses. Do not make it public.",
    )


class LogSettings(Settings):
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], BeforeValidator(str.lower)
    ] = Field(default="info", description="Minimum level of log lines.")
    log_format: Annotated[Literal["json", "console"], BeforeValidator(str.lower)] = Field(
        default="json", description="json for machines, console for a person at a terminal."
    )


class TraceSettings(Settings):
    trace_file: Path | None = Field(
        default=None,
        description="A file to which spans are appended, one OTLP/JSON document per line. The "
        "standard variables OTEL_… configure other exports.",
    )
    traces_per_second: float = Field(
        default=50,
        ge=0,
        le=100_000,
        description="How many new traces a process keeps per second, and as many again of "
        "retries and dead letters. Above the limit it keeps a share of them. See "
        "docs/how-to/send-traces-to-a-collector.md.",
    )


S = TypeVar("S", bound=Settings)


def load(kind: type[S], environ: Mapping[str, str] | None = None) -> S:
    """Read `kind` from the environment. Raises SettingsError with all problems."""
    source = os.environ if environ is None else environ
    names = {f"{PREFIX}{name}".upper(): name for name in kind.model_fields}
    values = {
        names[key.upper()]: value
        for key, value in source.items()
        if key.upper() in names and value.strip()
    }
    try:
        return kind.model_validate(values)
    except ValidationError as exc:
        raise SettingsError("\n".join(_sentences(exc.errors(include_url=False)))) from None


def _sentences(errors: list[ErrorDetails]) -> Iterator[str]:
    for error in errors:
        variable = f"{PREFIX}{error['loc'][0]}".upper() if error["loc"] else "settings"
        yield f"{variable}: {_reason(error)}"


def _reason(error: ErrorDetails) -> str:
    context: dict[str, Any] = error.get("ctx", {})
    if error["type"] == "missing":
        return "is required and not set"
    if "error" in context:
        return str(context["error"])
    return error["msg"][:1].lower() + error["msg"][1:]
