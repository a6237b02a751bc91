"""Every setting, with the slips that files, shells and people add to a value.

Either it works, or the start is refused with the name of the variable; no secret is ever shown.
"""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import OKPAlgorithm
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ringback.cli.client.addresses import Addresses
from ringback.cli.client.metrics import MetricsTargetSettings
from ringback.cli.client.signing import SigningSettings
from ringback.cli.commands.topology import BrokerPasswords
from ringback.runtime.process.settings import (
    PREFIX,
    Settings,
    SettingsError,
    kinds_in,
    load,
    secret_names,
)
from tests.architecture.config_example import SERVICES

SECRET = "s3cretthatisneverprinted"
ORG = "5f0b1c9e-3d3a-4f55-9b0b-6f4a1f3f0c11"
REQUIRED = {
    "RINGBACK_AMQP_URL": f"amqp://user:{SECRET}@broker:5672/vhost",
    "RINGBACK_DATABASE_URL": f"postgresql://user:{SECRET}@database:5432/ringback",
    "RINGBACK_VAPI_SECRET": f"{SECRET} with blanks",
    "RINGBACK_JWT_SECRET": f"{SECRET}-of-32-bytes-or-more",
    "RINGBACK_GATEWAY_URL": "http://gateway:8080/api/webhooks/vapi",
    **{
        f"RINGBACK_BROKER_{name}_PASSWORD": SECRET
        for name in ("GATEWAY", "PROCESSOR", "METRICS", "TOPOLOGY")
    },
}
OTHER_GOOD = {
    "question_signing_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "default_org_id": ORG,
    "endpoints": f'{{"acme": {{"org_id": "{ORG}", "secret": "{SECRET}"}}}}',
    "vapi_secret_previous": SECRET,
    "broker_administrator_password": SECRET,
    "rabbitmq_management_url": f"https://user:{SECRET}@broker:15672",
    "slack_webhook_url": f"https://hooks.slack.com/services/{SECRET}",
    "slack_bot_token": f"xoxb-{SECRET}",
    "slack_channel": "C012345",
    "slack_api_url": "https://slack.example/api/",
    "trace_url_template": "https://traces.example/{trace_id}",
    "dashboard_url": "https://grafana.example/d/1#top",
    "token": SECRET,
    "console_secret": f"{SECRET}{SECRET}",
    "console_label": "production",
    "metrics_url": "https://metrics.example:50051",
    "handlers": "json,decimal",
    "redact_paths": "defaults,transcript,-x",
    "jwt_issuer": "https://issuer.example",
    "jwt_jwks_url": "https://issuer.example/keys",
    "outgoing_networks": "10.0.0.0/8,fd00::/8",
    "console_url": "https://ops.example",
    "console_oidc_issuer": "https://login.example/realms/ops",
    "console_oidc_client_id": "ringback",
    "console_oidc_client_secret": SECRET,
    "max_in_flight_bytes": "200000000",
    "database_pool_max": "50",
    "concurrency": "3",
}
#: With this setting, these others must be set, or must not.
TOGETHER = {
    "slack_channel": {"RINGBACK_SLACK_BOT_TOKEN": "xoxb-1"},
    "slack_bot_token": {"RINGBACK_SLACK_CHANNEL": "C1"},
    "console_oidc_issuer": {
        "RINGBACK_CONSOLE_SECRET": f"{SECRET}-of-32-bytes-or-more",
        "RINGBACK_CONSOLE_URL": "https://ops.example",
        "RINGBACK_CONSOLE_OIDC_CLIENT_ID": "ringback",
    },
    "jwt_public_key_file": {"RINGBACK_JWT_SECRET": ""},
    "jwt_jwks_file": {"RINGBACK_JWT_SECRET": ""},
    "jwt_jwks_url": {"RINGBACK_JWT_SECRET": ""},
}
KINDS: dict[str, type[Settings]] = {
    **SERVICES,
    "addresses": Addresses,
    "passwords": BrokerPasswords,
    "metrics_place": MetricsTargetSettings,
    "signing": SigningSettings,
}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the files that settings name."""
    monkeypatch.setenv("HOME", str(tmp_path))
    key = Ed25519PrivateKey.generate().public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "jwt_public_key_file").write_bytes(pem)
    jwk = {"kid": "a", **OKPAlgorithm.to_jwk(key, as_dict=True)}
    (tmp_path / "jwt_jwks_file").write_text(json.dumps({"keys": [jwk]}))
    (tmp_path / "endpoints_file").write_text(
        "\ufeffendpoints: " + OTHER_GOOD["endpoints"], encoding="utf-8"
    )
    return tmp_path


def good_value(kind: type[Settings], name: str, folder: Path) -> str:
    variable = f"{PREFIX}{name}".upper()
    field = kind.model_fields[name]
    if variable in REQUIRED:
        return REQUIRED[variable]
    if name in OTHER_GOOD:
        return OTHER_GOOD[name]
    if Path in kinds_in(field.annotation):
        return str(folder / name)
    assert field.default not in {None, PydanticUndefined}, f"{name} needs a value in this table"
    return str(field.default)


def loaded(kind: type[Settings], name: str, value: str) -> Any:
    variable = f"{PREFIX}{name}".upper()
    found = getattr(load(kind, {**REQUIRED, **TOGETHER.get(name, {}), variable: value}), name)
    return found.get_secret_value() if isinstance(found, SecretStr) else found


def refusal(kind: type[Settings], name: str, value: str) -> str | None:
    """The error of a start, or None if it starts."""
    variable = f"{PREFIX}{name}".upper()
    try:
        loaded(kind, name, value)
    except SettingsError as exc:
        said = str(exc)
    else:
        return None
    assert all(line.startswith(f"{variable}: ") for line in said.splitlines()), said
    assert SECRET not in said
    return said


def is_literal(field: FieldInfo) -> bool:
    return any(isinstance(kind, str) for kind in kinds_in(field.annotation))


@each_kind
def test_what_files_and_shells_add_is_dropped_or_refused(
    kind: type[Settings], folder: Path
) -> None:
    """`kubectl create secret --from-file` leaves a line end; `docker --env-file` keeps quotes."""
    for name, field in kind.model_fields.items():
        value = good_value(kind, name, folder)
        expected = loaded(kind, name, value)

        for end in ("\n", "\r\n", "\n\n"):
            assert loaded(kind, name, value + end) == expected, name
        for quote in "'\"":
            assert "is in quotes" in str(refusal(kind, name, f"{quote}{value}{quote}\n")), name
        if SecretStr in kinds_in(field.annotation):
            # Nobody knows whether the blanks of a secret are meant.
            assert "begins or ends with whitespace" in str(refusal(kind, name, f" {value}")), name
            assert "begins or ends with whitespace" in str(refusal(kind, name, f"{value}\t")), name
        else:
            assert loaded(kind, name, f" {value}\t") == expected, name


SECRETS = [
    pytest.param(kind, field, id=f"{name}-{field}")
    for name, kind in KINDS.items()
    for field in sorted(secret_names(kind))
]


@pytest.mark.parametrize(("kind", "name"), SECRETS)
def test_a_secret_may_be_in_a_file(kind: type[Settings], name: str, tmp_path: Path) -> None:
    """Mounted secrets end with a line end or not. A mistake names the variable of the file."""
    variable, path = f"{PREFIX}{name}".upper(), tmp_path / "secret"
    value = REQUIRED.get(variable) or OTHER_GOOD[name]
    others = {**REQUIRED, **TOGETHER.get(name, {})}
    environ = {key: other for key, other in others.items() if key != variable}
    environ[f"{variable}_FILE"] = f"{path}\n"
    for end in ("", "\n", "\r\n\n"):
        path.write_bytes(f"{value}{end}".encode())
        assert getattr(load(kind, environ), name).get_secret_value() == value

    path.write_text(f" {value}")
    with pytest.raises(SettingsError, match=f"^{variable}_FILE: begins or ends with whitespace$"):
        load(kind, environ)
    with pytest.raises(SettingsError, match=f"^{variable}_FILE: set this or {variable}, not both$"):
        load(kind, {**environ, variable: value})


@each_kind
def test_nothing_but_blanks_is_not_set(kind: type[Settings]) -> None:
    """Deployment files cannot always leave a variable out."""
    for name, empty in itertools.product(kind.model_fields, ("", " ", "\n")):
        variable = f"{PREFIX}{name}".upper()
        without = {key: value for key, value in REQUIRED.items() if key != variable}
        try:
            unset = load(kind, without)
        except SettingsError as exc:
            with pytest.raises(SettingsError, match=re.escape(str(exc))):
                load(kind, without | {variable: empty})
        else:
            assert load(kind, without | {variable: empty}) == unset, name


@each_kind
def test_an_impossible_value_is_refused_by_name(kind: type[Settings], folder: Path) -> None:
    """Texts of any kind are possible; what has a form is refused without it."""
    for name, field in kind.model_fields.items():
        kinds = kinds_in(field.annotation)
        text = SECRET if SecretStr in kinds else "text"

        said = refusal(kind, name, f"\x01 {text} ~nobody/\x7f")
        if kinds & {int, float, bool} or is_literal(field) or "url" in name or "host" in name:
            assert said is not None, name
        if kinds & {int, float}:
            for number in ("nan", "inf", "-1e400", "1e400", "-1", "9" * 400):
                assert refusal(kind, name, number) is not None, (name, number)
        if Path in kinds:
            assert "no such home folder" in str(refusal(kind, name, "~nobody-of-this-name/x"))
            assert loaded(kind, name, f"~/{name}") == folder / name
        if is_literal(field):
            assert loaded(kind, name, str(field.default).upper()) == field.default, name


HEADER_SECRETS = [
    pytest.param(kind, field, id=f"{name}-{field}")
    for (name, kind), field in itertools.product(
        KINDS.items(), ("vapi_secret", "vapi_secret_previous", "token", "slack_bot_token")
    )
    if field in kind.model_fields
]


@pytest.mark.parametrize(("kind", "name"), HEADER_SECRETS)
@pytest.mark.parametrize("inner", ["\n", "\t", "\x00", "ü", "\u2013", "\x7f", "x" * 5_000])
def test_what_no_header_can_carry_is_refused(kind: type[Settings], name: str, inner: str) -> None:
    """Such a secret would answer 401 to everything."""
    assert refusal(kind, name, f"{SECRET}{inner}{SECRET}") is not None


@pytest.mark.parametrize(
    ("url", "is_good"),
    [
        ("amqp://user:p%40s%23s%2F@broker/", True),
        ("amqps://broker", True),
        ("amqp://[::1]:5672/", True),
        (f"amqp://user:p@{SECRET}@broker/", True),
        (f"amqp://user:p#{SECRET}@broker/", False),
        (f"amqp://user:p@x#{SECRET}@broker/", False),
        (f"amqp://user:p/{SECRET}@broker/", False),
        (f"amqp://user:1/{SECRET}@broker/", False),
        (f"amqp://user:1?{SECRET}@broker/", False),
        (f"amqp://user:a b{SECRET}@broker/", False),
        (f"amqp://user:a\n{SECRET}@broker/", False),
        (f"amqp://user:[{SECRET}@broker/", False),
        ("amqp:///vhost", False),
        ("amqp://:5672/", False),
        ("amqp://broker:99999/", False),
        ("broker:5672", False),
        ("//broker:5672", False),
    ],
)
def test_a_broker_that_cannot_be_reached_is_refused(url: str, *, is_good: bool) -> None:
    """A sign of a password that ends the host early would look for another host for ever."""
    said = refusal(SERVICES["gateway"], "amqp_url", url)

    assert (said is None) is is_good, said


def test_settings_that_contradict_each_other_are_refused(folder: Path) -> None:
    gateway, processor = SERVICES["gateway"], SERVICES["processor"]
    zero = "00000000-0000-0000-0000-000000000000"
    below = {**REQUIRED, "RINGBACK_DATABASE_POOL_MIN": "30"}
    both = {"RINGBACK_ENDPOINTS": OTHER_GOOD["endpoints"]}
    both["RINGBACK_ENDPOINTS_FILE"] = str(folder / "endpoints_file")

    assert "RINGBACK_MAX_BODY_BYTES" in str(refusal(gateway, "max_in_flight_bytes", "1048576"))
    assert "must not be 0000" in str(refusal(gateway, "default_org_id", zero))
    assert "acme.org_id" in str(
        refusal(gateway, "endpoints", OTHER_GOOD["endpoints"].replace(ORG, zero))
    )
    with pytest.raises(
        SettingsError, match="POOL_MAX: must not be below RINGBACK_DATABASE_POOL_MIN"
    ):
        load(processor, below)
    with pytest.raises(SettingsError, match="ENDPOINTS_FILE: set this or RINGBACK_ENDPOINTS"):
        load(gateway, REQUIRED | both)


def test_the_table_knows_every_kind() -> None:
    """A class of settings that is not in it would not be tried."""

    def below(kind: type[Settings]) -> set[type[Settings]]:
        return {kind}.union(*(below(one) for one in kind.__subclasses__()))

    tried = set().union(*(kind.__mro__ for kind in KINDS.values()))
    ours = {kind for kind in below(Settings) if not kind.__module__.startswith("tests.")}
    assert ours <= tried
