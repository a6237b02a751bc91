"""The configuration of the local Prometheus: its targets and its rules."""

import json
from pathlib import Path

import ringback
from ringback.local.ports import LOOPBACK, LocalPorts

_CHECKOUT = Path(ringback.__file__).parents[1]

RULES = _CHECKOUT / "deploy" / "prometheus" / "rules"

GRAFANA_URL = "http://localhost:3000"


def prometheus_config(ports: LocalPorts, *, scrapes_broker: bool) -> str:
    """The configuration file, as JSON, which is valid YAML.

    The rules and the dashboards use these job names. Alerts read the addresses for their links from
    the external labels.
    """
    services = ports.services
    targets = {
        "gateway": services.gateway_observability,
        "processor": services.processor_observability,
        "metrics": services.metrics_observability,
    }
    if scrapes_broker:
        targets["rabbitmq"] = ports.broker.broker_metrics
    document = {
        "global": {
            "scrape_interval": "5s",
            "evaluation_interval": "5s",
            "external_labels": {"grafana": GRAFANA_URL, "repository": _CHECKOUT.as_uri()},
        },
        "rule_files": [str(RULES / "*.yml")],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"{LOOPBACK}:{port}"]}]}
            for job, port in targets.items()
        ],
    }
    return json.dumps(document, indent=2)
