"""A private Prometheus, if it is installed. No part of Ringback needs it."""

import asyncio
import json
import os
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

import ringback
from ringback.local.child import Child, LocalStackError
from ringback.local.ports import LOOPBACK, LocalPorts, named_ports, require_free

POLL_S = 0.1
PROBE_S = 2.0

_FLAGS = (
    "--storage.tsdb.retention.time=35d",  # the objectives look back 30 days
    "--storage.tsdb.retention.size=1GB",
    "--enable-feature=exemplar-storage",
    "--log.level=warn",
)


@dataclass(slots=True)
class PrivatePrometheus:
    """It scrapes the stack on these ports, on loopback only. Its data is kept in `data_dir`.

    It never touches the system's service.
    """

    data_dir: Path
    ports: LocalPorts
    scrapes_broker: bool
    _child: Child | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return prometheus_url(self.ports)

    @property
    def log_path(self) -> Path:
        return self.data_dir / "prometheus.log"

    @property
    def exit_code(self) -> int | None:
        """Its exit status, or None while it runs or was never started."""
        return self._child.exit_code if self._child else None

    async def start(self, *, within_s: float = 60) -> None:
        """Start it and wait until it answers.

        LocalStackError, a sentence, where it is not installed or does not come up.
        """
        program = shutil.which("prometheus")
        if program is None:
            raise LocalStackError("Prometheus is not installed.")
        if not RULES.is_dir():
            raise LocalStackError("Prometheus needs the folder deploy/ of Ringback's repository.")
        require_free(named_ports(self.ports.prometheus))
        self.data_dir.mkdir(parents=True, exist_ok=True)
        config = self.data_dir / "prometheus.yml"
        text = prometheus_config(self.ports, scrapes_broker=self.scrapes_broker)
        config.write_text(text, encoding="utf-8")
        command = [
            *[program, f"--config.file={config}", f"--storage.tsdb.path={self.data_dir / 'data'}"],
            *[f"--web.listen-address={LOOPBACK}:{self.ports.prometheus.prometheus}", *_FLAGS],
        ]
        try:
            self._child = Child.spawn("Prometheus", command, env=os.environ, log_path=self.log_path)
            await self._until_it_answers(time.monotonic() + within_s)
        except OSError as exc:
            raise LocalStackError(f"Prometheus could not be started: {exc}.") from exc
        except BaseException:
            await self.kill()
            raise

    async def stop(self, *, within_s: float = 10) -> bool:
        """Stop it cleanly, by force after `within_s`; True if no force was needed."""
        return self._child is None or await self._child.stop(signal.SIGTERM, within_s=within_s)

    async def kill(self) -> None:
        if self._child is not None:
            await self._child.kill()

    async def _until_it_answers(self, deadline: float) -> None:
        while not await prometheus_answers(self.url):
            if self.exit_code is not None:
                raise LocalStackError(f"Prometheus did not start; its log is {self.log_path}.")
            if time.monotonic() > deadline:
                raise LocalStackError(f"Prometheus does not answer; its log is {self.log_path}.")
            await asyncio.sleep(POLL_S)


def prometheus_url(ports: LocalPorts) -> str:
    return f"http://{LOOPBACK}:{ports.prometheus.prometheus}"


async def prometheus_answers(url: str) -> bool:
    """Whether Prometheus answers and has loaded its data."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PROBE_S)) as client,
            client.get(f"{url}/-/ready") as answer,
        ):
            return answer.ok
    except (OSError, TimeoutError, aiohttp.ClientError):
        return False


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
