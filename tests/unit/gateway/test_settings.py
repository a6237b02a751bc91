"""Settings that the gateway accepts and rejects."""

import json
from pathlib import Path
from uuid import UUID

import pytest

from ringback.runtime.endpoints.secret_sources import Sources
from ringback.runtime.process.settings import SettingsError, load
from ringback.services.gateway.endpoints.credentials import SharedSecret
from ringback.services.gateway.settings import GatewaySettings

ORG = "5f0b1c9e-3d3a-4f55-9b0b-6f4a1f3f0c11"
LINKS = {
    "RINGBACK_AMQP_URL": "amqp://broker/",
    "RINGBACK_DATABASE_URL": "postgresql://database/ringback",
}


def loaded(**environ: str) -> GatewaySettings:
    return load(GatewaySettings, LINKS | {f"RINGBACK_{k.upper()}": v for k, v in environ.items()})


def test_one_secret_makes_the_default_endpoint() -> None:
    """The org of the default endpoint has a documented default."""
    (endpoint,) = loaded(vapi_secret="s").read_endpoints(Sources())

    assert endpoint.id == "default"
    assert endpoint.credentials == (SharedSecret(("X-Vapi-Secret", "Authorization"), (b"s",)),)
    assert endpoint.org_id == UUID("00000000-0000-0000-0000-000000000001")


def test_other_endpoints_need_no_default_one(tmp_path: Path) -> None:
    """With other endpoints, the default endpoint is optional."""
    file = tmp_path / "endpoints.json"
    file.write_text(json.dumps({"endpoints": {"acme": {"org_id": ORG, "secret": ["new", "old"]}}}))

    (acme,) = loaded(endpoints_file=str(file)).read_endpoints(Sources())
    both = loaded(endpoints_file=str(file), vapi_secret="s").read_endpoints(Sources())

    assert (acme.id, acme.org_id) == ("acme", UUID(ORG))
    assert [endpoint.id for endpoint in both] == ["default", "acme"]


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({}, "VAPI_SECRET: is required"),
        ({"vapi_secret": "  "}, "VAPI_SECRET: is required"),
        ({"vapi_secret_previous": "old"}, "VAPI_SECRET: is required"),
        ({"endpoints": "{"}, "ENDPOINTS: line 2: invalid YAML"),
        ({"endpoints": '{"a b": {"org_id": "ORG"}}'}, "ENDPOINTS: a b"),
        ({"endpoints": '{"a": {"org_id": "x", "secret": "hush"}}'}, "ENDPOINTS: a.org_id"),
        ({"endpoints": '{"a": {"org_id": "ORG", "secrets": "hush"}}'}, "ENDPOINTS: a.secrets"),
        ({"endpoints": '{"a": {"org_id": "ORG", "secret": ""}}'}, "ENDPOINTS: a.secret"),
        (
            {"endpoints": '{"default": {"org_id": "ORG", "secret": "s"}}', "vapi_secret": "s"},
            "VAPI_SECRET: is for the endpoint default, which is declared too",
        ),
        (
            {"endpoints": '{"a": {"org_id": "ORG"}}'},
            r"VAPI_SECRET: .*without credentials \(a\)",
        ),
        ({"endpoints_file": "/nowhere"}, "ENDPOINTS_FILE: /nowhere cannot be read"),
        ({"vapi_secret": "s", "max_body_bytes": "1"}, "MAX_BODY_BYTES: "),
    ],
)
def test_unsafe_settings_are_rejected(environ: dict[str, str], sentence: str) -> None:
    """Each error names the variable, and never shows a secret."""
    with pytest.raises(SettingsError, match=sentence) as caught:
        loaded(**{name: value.replace("ORG", ORG) for name, value in environ.items()})

    assert "hush" not in str(caught.value)
