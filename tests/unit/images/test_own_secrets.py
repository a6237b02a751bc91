"""Tests for deploy/docker/own_secrets.py, run as the container runs it."""

import subprocess  # ruff: ignore[suspicious-subprocess-import]  # the script is a program
import sys

import pytest

from deploy.docker import own_secrets
from deploy.docker.own_secrets import PASSWORDS, SECRETS
from services.gateway.settings import EndpointSettings
from services.metrics.settings import TokenSettings
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


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "[::1]"])
def test_this_machine_alone_may_use_what_everybody_knows(address: str) -> None:
    """So that the first start needs nothing."""
    assert run("check", DEFAULTS | {"BIND_ADDRESS": address})[0] == 0


@pytest.mark.parametrize("address", ["0.0.0.0", "[::]", "192.0.2.7", "10.0.0.1"])  # ruff: ignore[hardcoded-bind-all-interfaces]
def test_elsewhere_they_are_refused(address: str) -> None:
    """All of them are named, and what to do."""
    status, _, said = run("check", DEFAULTS | {"BIND_ADDRESS": address})

    assert status == 1
    assert [name for name in SECRETS if name not in said] == []
    assert "own_secrets.py make" in said
    assert "local-only" not in said


@pytest.mark.parametrize("name", SECRETS)
def test_one_that_was_forgotten_is_enough(name: str) -> None:
    """It is the one by which somebody comes in."""
    environ = DEFAULTS | made() | {"BIND_ADDRESS": "192.0.2.7"}

    assert run("check", environ)[0] == 0
    status, _, said = run("check", environ | {name: DEFAULTS[name]})

    assert (status, name in said) == (1, True)


@pytest.mark.parametrize("address", ["", "localhost", "gateway.example.com", "0.0.0"])
def test_a_name_is_no_address(address: str) -> None:
    """Nobody knows where it leads, and Compose takes none."""
    status, _, said = run("check", DEFAULTS | {"BIND_ADDRESS": address})

    assert status == 1
    assert said.startswith(f"BIND_ADDRESS is {address!r}. It must be an IP address")


@pytest.mark.parametrize("password", ["", "with@sign", "with/slash", "percent%41", "a b"])
def test_what_would_break_an_address_is_refused(password: str) -> None:
    """The URL of the broker would be another one, and the error nowhere near."""
    for name in PASSWORDS:
        status, _, said = run("check", DEFAULTS | {name: password})
        assert (status, name in said) == (1, True)


def test_what_is_made_is_taken() -> None:
    """By the check, by the gateway and by the metrics service; never twice the same."""
    secrets = made()

    assert list(secrets) == list(SECRETS)
    assert len(set(secrets.values()) | set(made().values())) == 2 * len(SECRETS)
    EndpointSettings(vapi_secret=secrets["RINGBACK_VAPI_SECRET"])
    TokenSettings(jwt_secret=secrets["RINGBACK_JWT_SECRET"])


def test_what_it_does_not_know_it_says() -> None:
    """Nothing starts by a word that is misspelt."""
    assert run("chek", DEFAULTS)[0] == 2
