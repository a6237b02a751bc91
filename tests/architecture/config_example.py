"""Writes config.example.env, all settings of all services as one file to copy:

.venv/bin/python -m tests.architecture.config_example
"""

import textwrap
from collections.abc import Iterator

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ringback.runtime.process.settings import PREFIX, Settings, secret_names
from ringback.services.gateway.settings import GatewaySettings
from ringback.services.metrics.settings import MetricsSettings
from ringback.services.processor.settings import ProcessorSettings
from tests.architecture.source import ROOT

EXAMPLE = ROOT / "config.example.env"

SERVICES: dict[str, type[Settings]] = {
    "gateway": GatewaySettings,
    "processor": ProcessorSettings,
    "metrics": MetricsSettings,
}

SECRETS = frozenset[str]().union(*map(secret_names, SERVICES.values()))
"""The settings that may be in files."""

_HEADER = """\
# Every setting of Ringback. Each service reads its settings from the environment when it starts. If
# some are invalid, it reports all of them and does not start. An empty variable counts as not set.
# Line ends around a value are removed, and spaces except around a secret. A value in quotes is
# invalid.
#
# A secret may also be in a file. RINGBACK_DATABASE_URL_FILE=/run/secrets/database is the same as
# RINGBACK_DATABASE_URL with the content of that file, without line ends at its end. The service
# reads the file once, at its start. The settings for which this works say so.
#
# Settings without # are required. The others are shown with their defaults.
# To regenerate this file: .venv/bin/python -m tests.architecture.config_example
"""


def readers() -> dict[str, tuple[str, ...]]:
    """Each setting with the services that read it, those that all share first."""
    found: dict[str, tuple[str, ...]] = {}
    for service, kind in SERVICES.items():
        for name in kind.model_fields:
            found[name] = (*found.get(name, ()), service)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def example() -> str:
    """The text of the file."""
    parts = [_HEADER]
    section: tuple[str, ...] = ()
    for name, services in readers().items():
        if services != section:
            section = services
            title = "all services" if len(services) == len(SERVICES) else ", ".join(services)
            parts.append(f"# ---- {title} ----\n")
        parts.append("\n".join(_entry(name, SERVICES[services[0]].model_fields[name])) + "\n")
    return "\n".join(parts)


def variable_of(name: str) -> str:
    return f"{PREFIX}{name}".upper()


def default_of(field: FieldInfo) -> str | None:
    """The default as the variable would be written, or None for a required setting."""
    match field.default:
        case default if default is PydanticUndefined:
            return None
        case None:
            return ""
        case bool():
            return str(field.default).lower()
        case SecretStr():
            return field.default.get_secret_value()
        case default:
            return str(default)


def _entry(name: str, field: FieldInfo) -> Iterator[str]:
    assert field.description, f"{name} has no description"
    default = default_of(field)
    must = " Required." if default is None else ""
    file = f" Or a file: {variable_of(name)}_FILE." if name in SECRETS else ""
    for line in textwrap.wrap(field.description + must + file, 97, break_on_hyphens=False):
        yield f"# {line}"
    yield f"{variable_of(name)}=" if default is None else f"# {variable_of(name)}={default}"


if __name__ == "__main__":
    EXAMPLE.write_text(example(), encoding="utf-8")
