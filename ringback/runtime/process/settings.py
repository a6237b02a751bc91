"""Settings are read from the environment once; one error lists all mistakes."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args
from urllib.parse import SplitResult, parse_qsl, urlsplit

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
from yarl import URL

from ringback.contract.redaction.redact_paths import DEFAULTS
from ringback.contract.redaction.redaction import Redaction, redaction_by
from ringback.contract.retry_schedule import RetrySchedule
from ringback.runtime.outgoing.addresses import parse_networks
from ringback.runtime.process.secret_files import SecretFiles, read_secret_files

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
        raise ValueError("begins or ends with whitespace")
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
        raise ValueError("contains a space or a control character; write %20 for a space")
    try:
        parts = urlsplit(text)
        scheme, _ = parts.scheme, parts.port
    except ValueError:
        raise ValueError(sentence) from None
    if scheme not in schemes:
        raise ValueError(sentence)
    return parts


def http_url(text: str) -> str:
    """Check the URL of a request to send, which may be logged. Raises ValueError."""
    parts = url_parts(text, ("http", "https"))
    if not parts.hostname:
        raise ValueError("must be a URL with a host")
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or a password, because it is logged")
    try:
        # As the client sends it: letters outside ASCII take more characters there.
        host = URL(text).raw_host or ""
    except ValueError:
        host = ""
    if re.fullmatch(r"([^.]{1,63}(\.|$))+", host) is None:
        raise ValueError("must have a host with 1 to 63 characters between dots, encoded in ASCII")
    return text


_PORTS = {"postgresql": 5432, "postgres": 5432, "amqp": 5672, "amqps": 5671}


def server_address(url: str) -> str:
    """The host or socket, port and path of a server URL, for messages: without credentials."""
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query))
        port = parts.port or query.get("port") or _PORTS.get(parts.scheme, "")
    except ValueError:
        return "an invalid URL"
    return f"{parts.hostname or query.get('host', 'localhost')}:{port}{parts.path}"


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
        raise ValueError("must be printable ASCII, because it is sent in a header")
    if len(text) > _MAX_HEADER_VALUE:
        raise ValueError(f"must have at most {_MAX_HEADER_VALUE:,} characters")
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


def schedule_text(value: str) -> str:
    """The text of a retry schedule. Raises ValueError."""
    RetrySchedule.parse(value)
    return value


class ScheduleSettings(Settings):
    retry_schedule: Annotated[str, AfterValidator(schedule_text)] = Field(
        default="2s,4s,8s",
        description="Delays between attempts (ms, s, m, h). Their number is the retry limit. Up to "
        "30 s, a webhook waits in a retry queue of the broker, longer in PostgreSQL. Change it on "
        "a running system only as docs/how-to/change-the-retry-schedule.md describes.",
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
        "defaults,customer.number,-x-request-id. none hides nothing. The same for all services. "
        "See docs/how-to/redact-credentials.md.",
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
        "them, or * (or ::) for all of IPv4 and IPv6. Do not make it public.",
    )


def _networks(value: str) -> str:
    parse_networks(value)
    return value


Networks = Annotated[str, AfterValidator(_networks)]


class OutgoingSettings(Settings):
    outgoing_networks: Networks = Field(
        default="",
        description="Private networks to which services may send requests: to backends that answer "
        "questions and to servers of key sets (JWKS). Comma separated, such as "
        "10.0.0.0/8,fd00::/8. Elsewhere only public addresses are allowed, and only https.",
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


def secret_names(kind: type[Settings]) -> frozenset[str]:
    """The settings that a file may contain. Its variable is that of the setting, and _FILE."""
    fields = kind.model_fields
    return frozenset(
        name
        for name, field in fields.items()
        if SecretStr in kinds_in(field.annotation) and f"{name}_file" not in fields
    )


def with_secret_files(environ: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Replace the names of files by the secrets in them. Raises SettingsError."""
    read = read_secret_files(environ, map(variable_of, names))
    if read.problems:
        raise SettingsError("\n".join(read.problems.values()))
    return read.environ


def variable_of(name: str) -> str:
    return f"{PREFIX}{name}".upper()


S = TypeVar("S", bound=Settings)


def load(kind: type[S], environ: Mapping[str, str] | None = None) -> S:
    """Read `kind` from the environment. Raises SettingsError with all problems."""
    given = os.environ if environ is None else environ
    read = read_secret_files(given, map(variable_of, secret_names(kind)))
    names = {variable_of(name): name for name in kind.model_fields}
    values = {
        names[key.upper()]: text for key, text in read.environ.items() if key.upper() in names
    }
    errors: list[ErrorDetails] = []
    try:
        settings = kind.model_validate(values)
    except ValidationError as exc:
        errors = exc.errors(include_url=False)
    if read.problems or errors:
        raise SettingsError("\n".join(_sentences(errors, read))) from None
    return settings


def _sentences(errors: list[ErrorDetails], read: SecretFiles) -> Iterator[str]:
    yield from read.problems.values()
    for error in errors:
        variable = variable_of(str(error["loc"][0])) if error["loc"] else "settings"
        if variable not in read.problems:
            yield f"{read.source_of(variable)}: {_reason(error)}"


def _reason(error: ErrorDetails) -> str:
    context: dict[str, Any] = error.get("ctx", {})
    if error["type"] == "missing":
        return "is required and not set"
    if "error" in context:
        return str(context["error"])
    return rule_of(error)


def rule_of(error: ErrorDetails) -> str:
    """Pydantic's rule for a value, such as `must be greater than or equal to 1`."""
    if error["type"].startswith("uuid_"):
        return "must be a UUID"
    message = re.sub(r"^(Input|String) should ", "must ", error["msg"])
    return message[:1].lower() + message[1:]
