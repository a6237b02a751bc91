"""Tests for deploy/docker/own_secrets.py, run as the container runs it."""

import subprocess  # ruff: ignore[suspicious-subprocess-import]  # the script is a program
import sys

import pytest

from deploy.docker import own_secrets
from deploy.docker.own_secrets import PASSWORDS, SECRETS
from ringback.services.gateway.settings import EndpointSettings
from ringback.services.metrics.settings import TokenSettings
from tests.support.compose import compose

DEFAULTS: dict[str, str] = compose()["services"]["own-secrets"]["environment"]
SCRIPT = own_secrets.__file__


def run(word: str, environ: dict[str, str]) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-I", SCRIPT, word],
        env=environ,
        check=False,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


def made() -> dict[str, str]:
    status, lines, _ = run("make", {})
    assert status == 0
    return dict(line.split("=") for line in lines.splitlines())


def test_public_defaults_are_allowed_on_loopback_only() -> None:
    """The first start needs no settings. Elsewhere all are named, with the next step."""
    for address in ("127.0.0.1", "127.0.0.2", "[::1]"):
        assert run("check", DEFAULTS | {"BIND_ADDRESS": address})[0] == 0
    for address in ("0.0.0.0", "[::]", "192.0.2.7", "10.0.0.1"):  # ruff: ignore[hardcoded-bind-all-interfaces]
        status, _, error = run("check", DEFAULTS | {"BIND_ADDRESS": address})

        assert status == 1
        assert [name for name in SECRETS if name not in error] == []
        assert "own_secrets.py make" in error
        assert "local-only" not in error


@pytest.mark.parametrize("name", SECRETS)
def test_one_public_default_is_enough_to_refuse(name: str) -> None:
    environ = DEFAULTS | made() | {"BIND_ADDRESS": "192.0.2.7"}

    assert run("check", environ)[0] == 0
    status, _, error = run("check", environ | {name: DEFAULTS[name]})

    assert (status, name in error) == (1, True)


@pytest.mark.parametrize("address", ["", "localhost", "gateway.example.com", "0.0.0"])
def test_a_name_is_not_an_address(address: str) -> None:
    """Compose accepts only IP addresses."""
    status, _, error = run("check", DEFAULTS | {"BIND_ADDRESS": address})

    assert status == 1
    assert error.startswith(f"BIND_ADDRESS is {address!r}. It must be an IP address")


@pytest.mark.parametrize("password", ["", "with@sign", "with/slash", "percent%41", "a b"])
def test_a_password_that_breaks_a_url_is_refused(password: str) -> None:
    """Otherwise the broker's URL would be wrong, far from the cause."""
    for name in PASSWORDS:
        status, _, error = run("check", DEFAULTS | {name: password})
        assert (status, name in error) == (1, True)


def test_created_secrets_are_accepted() -> None:
    """By the check, the gateway and the metrics service; no two are the same."""
    secrets = made()

    assert list(secrets) == list(SECRETS)
    assert len(set(secrets.values()) | set(made().values())) == 2 * len(SECRETS)
    EndpointSettings(vapi_secret=secrets["RINGBACK_VAPI_SECRET"])
    TokenSettings(jwt_secret=secrets["RINGBACK_JWT_SECRET"])


def test_an_unknown_command_is_an_error() -> None:
    assert run("chek", DEFAULTS)[0] == 2
