"""Generates the manifests that come from other files: `python -m deploy.k8s.generate`."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.k8s.broker_objects import broker_objects
from ringback.contract.broker_access import (
    GATEWAY,
    METRICS,
    PROCESSOR,
    TOPOLOGY,
    definitions,
    password_hash,
)

HERE: Final = Path(__file__).parent
RULES: Final = HERE.parent / "prometheus" / "rules"
DEV_SECRETS: Final = HERE / "overlays" / "dev" / "secrets"

_HEADER = "# Made by `make generate`, from {source}. Do not edit.\n"


def generated() -> dict[str, str]:
    """The text of every such file, by its path below this folder."""
    return {
        "components/rabbitmq-operator/accounts.yaml": _documents(
            "ringback/contract/broker_access.py", broker_objects("rabbitmq")
        ),
        "components/prometheus-operator/rules.yaml": _documents(
            "deploy/prometheus/rules", [_rule_object(path) for path in sorted(RULES.glob("*.yml"))]
        ),
        "overlays/dev/rabbitmq/definitions.json": _dev_definitions(),
    }


def _rule_object(path: Path) -> dict[str, Any]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": f"ringback-{path.stem}"},
        "spec": yaml.safe_load(path.read_text(encoding="utf-8")),
    }


def _dev_definitions() -> str:
    """With hashes of the overlay's passwords. A salt depends on the name, so the text is stable."""
    hashes = {
        user.name: password_hash(
            _dev_password(user.name), hashlib.sha256(user.name.encode()).digest()[:4]
        )
        for user in (GATEWAY, PROCESSOR, METRICS, TOPOLOGY)
    }
    return json.dumps(definitions(hashes), indent=2) + "\n"


def _dev_password(user: str) -> str:
    text = (DEV_SECRETS / f"{user}-broker.env").read_text(encoding="utf-8")
    return dict(line.split("=", 1) for line in text.split())["password"]


def _documents(source: str, documents: Iterable[dict[str, Any]]) -> str:
    text = yaml.safe_dump_all(documents, sort_keys=False, width=100, allow_unicode=True)
    return _HEADER.format(source=source) + text


if __name__ == "__main__":
    for name, text in generated().items():
        (HERE / name).write_text(text, encoding="utf-8")
