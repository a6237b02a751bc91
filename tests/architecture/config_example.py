"""The settings of all services as one file to copy: run me to renew config.example.env.

.venv/bin/python -m tests.architecture.config_example
"""

import textwrap
from collections.abc import Iterator

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ringback.runtime.process.settings import PREFIX, Settings
from services.gateway.settings import GatewaySettings
from services.metrics.settings import MetricsSettings
from services.processor.settings import ProcessorSettings
from tests.architecture.source import ROOT

EXAMPLE = ROOT / "config.example.env"

SERVICES: dict[str, type[Settings]] = {
    "gateway": GatewaySettings,
    "processor": ProcessorSettings,
    "metrics": MetricsSettings,
}

_HEADER = """\
# Every setting of Ringback. Each service reads its own from the environment, once, when it starts,
# and names all that is wrong with them at once. An empty variable is as good as none. Line ends
# around a value are dropped, as are blanks except around a secret; quotes around it are refused.
#
# What must be set stands here without a value; for the rest the default is shown.
# This file is written from the code: .venv/bin/python -m tests.architecture.config_example
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


def _entry(name: str, field: FieldInfo) -> Iterator[str]:
    assert field.description, f"{name} has no description"
    must = "" if field.default is not PydanticUndefined else " Required."
    for line in textwrap.wrap(field.description + must, 97, break_on_hyphens=False):
        yield f"# {line}"
    variable = f"{PREFIX}{name}".upper()
    yield f"{variable}=" if must else f"# {variable}={_as_text(field.default)}"


def _as_text(default: object) -> str:
    match default:
        case None:
            return ""
        case bool():
            return str(default).lower()
        case SecretStr():
            return default.get_secret_value()
        case _:
            return str(default)


if __name__ == "__main__":
    EXAMPLE.write_text(example(), encoding="utf-8")
