"""The settings of the console: what is refused at the start, and what browsers get."""

import pytest

from ringback.runtime.process.settings import SettingsError, load
from ringback.services.metrics.console.security import frame_ancestors
from ringback.services.metrics.console.settings import ConsoleSettings

ISSUER = {"OIDC_ISSUER": "https://login.example", "OIDC_CLIENT_ID": "ringback"}
SECRET = {"SECRET": "x" * 32}


def loaded(values: dict[str, str]) -> ConsoleSettings:
    return load(ConsoleSettings, {f"RINGBACK_CONSOLE_{name}": one for name, one in values.items()})


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"SECRET": "x" * 31}, "SECRET: must have 32 bytes or more"),
        ({"PATH": "console"}, "PATH: must be a path"),
        ({"PATH": "/"}, "PATH: must be a path"),
        ({"PATH": "/a/../b"}, "PATH: must be a path"),
        ({"PATH": "/api/console"}, "PATH: is a path of the API"),
        ({"URL": "https://ops.example/console"}, "URL: must be only scheme, host and port"),
        ({"URL": "ops.example"}, "URL: must be a URL"),
        ({"FRAME_ANCESTORS": "*"}, "FRAME_ANCESTORS: must be"),
        ({"FRAME_ANCESTORS": "https://a.example; script-src *"}, "FRAME_ANCESTORS: "),
        ({"FRAME_ANCESTORS": "none,self"}, "FRAME_ANCESTORS: must be"),
        ({"OIDC_ISSUER": "http://login.example"}, "OIDC_ISSUER: must be a URL"),
        ({"OIDC_ISSUER": "https://login.example"}, "OIDC_CLIENT_ID: is required"),
        ({**ISSUER, **SECRET}, "also needs RINGBACK_CONSOLE_URL"),
        ({**ISSUER, "URL": "https://ops.example"}, "also needs RINGBACK_CONSOLE_SECRET"),
    ],
    ids=str,
)
def test_what_is_refused(values: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        loaded(values)

    assert sentence in str(refused.value)


def test_the_public_address() -> None:
    """Without a URL it is unknown; the path is that of the browser."""
    public = loaded({"URL": "https://Ops.example:8443/", "PATH": "/ops/ringback"})

    assert public.console_address == "https://ops.example:8443/ops/ringback"
    for url in ("https://ops.example:443", "http://ops.example:80/"):
        assert loaded({"URL": url}).console_url == url.rpartition(":")[0]
    assert not loaded({}).console_address


@pytest.mark.parametrize(
    ("setting", "policy"),
    [
        ("none", "'none'"),
        ("self", "'self'"),
        ("self, https://a.example:1", "'self' https://a.example:1"),
    ],
)
def test_who_may_show_it_in_a_frame(setting: str, policy: str) -> None:
    assert frame_ancestors(loaded({"FRAME_ANCESTORS": setting}).console_frame_ancestors) == policy
