"""Tests for ringback.runtime.process.settings."""

from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from ringback.runtime.process.settings import (
    BrokerSettings,
    DatabaseSettings,
    LogSettings,
    ObservabilitySettings,
    SettingsError,
    clean_environment,
    load,
    secret_names,
    server_address,
    with_secret_files,
)
from ringback.services.gateway.settings import GatewaySettings

AMQP = "amqp://guest:geheim@localhost:5672/vhost"
POSTGRES = "postgresql://ringback:geheim@localhost:5432/ringback"


class Example(BrokerSettings, DatabaseSettings, ObservabilitySettings, LogSettings):
    example_port: int = Field(default=9, ge=0, le=65535, description="A port.")
    example_key: SecretStr = Field(default=SecretStr(""), min_length=20, description="A key.")
    example_flag: bool = Field(default=False, description="A flag.")


GOOD = {"RINGBACK_AMQP_URL": AMQP, "RINGBACK_DATABASE_URL": POSTGRES}


def test_variables_are_read_as_their_types() -> None:
    """The environment holds texts; settings have types, and all but the URLs a default."""
    variables = {"EXAMPLE_PORT": "80", "EXAMPLE_FLAG": "true", "RETRY_SCHEDULE": "1s,1m"}

    settings = load(Example, GOOD | {f"RINGBACK_{k}": v for k, v in variables.items()})
    debugging = load(Example, GOOD | {"ringback_log_level": "debug"})

    assert settings.amqp_url.get_secret_value() == AMQP
    assert (settings.database_pool_min, settings.database_pool_max) == (5, 20)
    assert (settings.example_port, settings.example_flag) == (80, True)
    assert (settings.schedule.max_attempts, str(debugging.schedule)) == (3, "2s,4s,8s")
    assert (settings.log_level, settings.log_format, debugging.log_level) == (
        "info",
        "json",
        "debug",
    )


def test_every_mistake_is_named_at_once() -> None:
    """One start reports all problems, each with its variable."""
    with pytest.raises(SettingsError) as caught:
        load(
            Example,
            {
                "RINGBACK_AMQP_URL": "http://localhost",
                "RINGBACK_RETRY_SCHEDULE": "2s,soon",
                "RINGBACK_LOG_LEVEL": "chatty",
                "RINGBACK_DATABASE_POOL_MAX": "0",
                "RINGBACK_EXAMPLE_PORT": "http",
            },
        )

    assert sorted(str(caught.value).splitlines()) == [
        (
            "RINGBACK_AMQP_URL: must be a URL that begins with amqp:// or amqps://, "
            "with a number for a port"
        ),
        "RINGBACK_DATABASE_POOL_MAX: must be greater than or equal to 1",
        "RINGBACK_DATABASE_URL: is required and not set",
        ("RINGBACK_EXAMPLE_PORT: must be a valid integer, unable to parse string as an integer"),
        "RINGBACK_LOG_LEVEL: must be 'debug', 'info', 'warning' or 'error'",
        "RINGBACK_RETRY_SCHEDULE: 'soon' is not a delay such as 500ms, 2s, 5m or 1h",
    ]


@pytest.mark.parametrize(
    "bad",
    [
        {"RINGBACK_AMQP_URL": "amqp+geheim://guest:geheim@localhost"},
        {"RINGBACK_AMQP_URL": "amqp://guest:geheim@[::1"},
        # The standard library's error for this quotes "guest:geheim…@host".
        {"RINGBACK_AMQP_URL": "amqp://guest:geheim℀@host"},
        {"RINGBACK_DATABASE_URL": "geheim"},
        {"RINGBACK_EXAMPLE_KEY": "geheim"},
    ],
)
def test_no_error_tells_a_secret(bad: dict[str, str]) -> None:
    """What is refused may be a password with a slip of the pen, and errors end in logs."""
    with pytest.raises(SettingsError) as caught:
        load(Example, GOOD | bad)

    assert "geheim" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff" * 20, "is not text in UTF-8"),
        (b"x" * 70_000, "has more than 65,536 bytes"),
        (b"geheim", "at least 20"),
    ],
)
def test_a_file_without_a_usable_secret_is_named(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    """With the other mistakes, once, and without its content."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SettingsError) as caught:
        load(
            Example,
            {
                "RINGBACK_AMQP_URL_FILE": str(tmp_path / "gone"),
                "RINGBACK_DATABASE_URL": POSTGRES,
                "RINGBACK_EXAMPLE_KEY_FILE": str(path),
                "RINGBACK_EXAMPLE_PORT": "http",
            },
        )

    lines = sorted(str(caught.value).splitlines())
    assert [line.partition(":")[0] for line in lines] == [
        "RINGBACK_AMQP_URL_FILE",
        "RINGBACK_EXAMPLE_KEY_FILE",
        "RINGBACK_EXAMPLE_PORT",
    ]
    assert reason in lines[1]
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("secret", ["geheim" * 4, "amqp://guest:geheim@rabbit/", "geheim" * 99])
def test_a_secret_in_place_of_its_file_is_not_repeated(secret: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(Example, {"RINGBACK_AMQP_URL_FILE": secret, "RINGBACK_DATABASE_URL": POSTGRES})

    assert "RINGBACK_AMQP_URL_FILE: the file at that relative path cannot be" in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_only_secrets_may_be_in_files(tmp_path: Path) -> None:
    """And a setting that is a file itself is not one of those."""
    path = tmp_path / "port"
    path.write_text("80")

    settings = load(Example, GOOD | {"RINGBACK_EXAMPLE_PORT_FILE": str(path)})

    assert settings.example_port == 9
    assert secret_names(Example) == {"amqp_url", "database_url", "example_key"}
    assert "endpoints" not in secret_names(GatewaySettings)


def test_secrets_of_files_are_put_into_an_environment(tmp_path: Path) -> None:
    """For programs that read variables themselves. Without the file's name, both would be set."""
    path = tmp_path / "url"
    path.write_text(f"{AMQP}\n")
    environ = {"ringback_amqp_url_file": str(path), "RINGBACK_EXAMPLE_KEY_FILE": "x", "PATH": "/"}

    assert with_secret_files(environ, ["amqp_url", "database_url"]) == {
        "RINGBACK_AMQP_URL": AMQP,
        "RINGBACK_EXAMPLE_KEY_FILE": "x",
        "PATH": "/",
    }
    with pytest.raises(SettingsError, match="RINGBACK_EXAMPLE_KEY_FILE: the file at that relative"):
        with_secret_files(environ, ["example_key"])


def test_no_representation_tells_a_secret() -> None:
    """Settings may be logged as they are."""
    settings = load(Example, GOOD | {"RINGBACK_EXAMPLE_KEY": "geheim" * 4})

    assert "geheim" not in f"{settings!r} {settings} {settings.model_dump()} "


def test_only_the_given_environment_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither the process's variables nor a file of the working directory adds to it."""
    monkeypatch.setenv("RINGBACK_AMQP_URL", AMQP)
    monkeypatch.setenv("RINGBACK_LOG_LEVEL", "debug")
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"RINGBACK_AMQP_URL={AMQP}\n", encoding="utf-8")

    with pytest.raises(SettingsError, match="RINGBACK_AMQP_URL: is required and not set"):
        load(Example, {"RINGBACK_DATABASE_URL": POSTGRES})
    assert load(LogSettings, {}).log_level == "info"


def test_an_environment_is_cleaned_for_those_who_read_it_themselves() -> None:
    """The local stack hands addresses on to programs and to services."""
    dirty = {"RINGBACK_AMQP_URL": f"{AMQP}\r\n", "RINGBACK_PREFETCH": " ", "PATH": "/bin\n"}

    assert clean_environment(dirty) == {"RINGBACK_AMQP_URL": AMQP, "PATH": "/bin\n"}


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (POSTGRES, "localhost:5432/ringback"),
        ("postgresql://ada:geheim@db/ringback?role=x&password=geheim", "db:5432/ringback"),
        ("postgresql://postgres@/ringback?host=/run/pg&port=7432", "/run/pg:7432/ringback"),
        (AMQP, "localhost:5672/vhost"),
        ("amqps://guest:geheim@mq/", "mq:5671/"),
        ("amqp://guest:geheim@mq:port/", "an invalid URL"),
    ],
)
def test_an_address_in_a_message_has_no_credentials(url: str, address: str) -> None:
    """It names the host or socket, the port and the path."""
    assert server_address(url) == address
