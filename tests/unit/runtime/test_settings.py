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
)

AMQP = "amqp://guest:geheim@localhost:5672/vhost"
POSTGRES = "postgresql://ringback:geheim@localhost:5432/ringback"


class Example(BrokerSettings, DatabaseSettings, ObservabilitySettings, LogSettings):
    example_port: int = Field(default=9, ge=0, le=65535, description="A port.")
    example_key: SecretStr = Field(default=SecretStr(""), min_length=20, description="A key.")
    example_flag: bool = Field(default=False, description="A flag.")


GOOD = {"RINGBACK_AMQP_URL": AMQP, "RINGBACK_DATABASE_URL": POSTGRES}


def test_defaults_stand_where_nothing_is_set() -> None:
    """Only the addresses must be given."""
    settings = load(Example, GOOD)

    assert settings.amqp_url.get_secret_value() == AMQP
    assert (settings.database_pool_min, settings.database_pool_max) == (5, 20)
    assert str(settings.schedule) == "2s,4s,8s"
    assert (settings.log_level, settings.log_format) == ("info", "json")


def test_variables_are_read_as_their_types() -> None:
    """The environment holds texts; a setting is what it is described as."""
    settings = load(
        Example,
        GOOD
        | {
            "RINGBACK_EXAMPLE_PORT": "80",
            "RINGBACK_EXAMPLE_FLAG": "true",
            "RINGBACK_RETRY_SCHEDULE": "1s,1m",
            "ringback_log_level": "debug",
        },
    )

    assert settings.example_port == 80
    assert settings.example_flag is True
    assert settings.schedule.max_attempts == 3
    assert settings.log_level == "debug"


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
        "RINGBACK_DATABASE_POOL_MAX: input should be greater than or equal to 1",
        "RINGBACK_DATABASE_URL: is required and not set",
        (
            "RINGBACK_EXAMPLE_PORT: input should be a valid integer, "
            "unable to parse string as an integer"
        ),
        "RINGBACK_LOG_LEVEL: input should be 'debug', 'info', 'warning' or 'error'",
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
