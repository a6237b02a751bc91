"""A real Prometheus with the project's rules, at the pace of a test."""

import json
import os
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from ringback.local.child import Child
from ringback.local.ports import LOOPBACK, LocalPorts, free_ports
from ringback.local.prometheus import RULES, prometheus_answers, prometheus_config
from tests.support.eventually import eventually

_WAITS = re.compile(r"^( +for: )\d+[mh]$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class RealPrometheus:
    api: aiohttp.ClientSession

    async def rules(self) -> list[dict[str, Any]]:
        groups = (await self._ask("rules"))["groups"]
        return [rule for group in groups for rule in group["rules"]]

    async def value(self, expression: str) -> float | None:
        """The one value of an expression; None where it has none."""
        found = (await self._ask("query", query=expression))["result"]
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    async def firing(self) -> list[dict[str, str]]:
        """The labels of each alert that fires."""
        alerts = (await self._ask("alerts"))["alerts"]
        return [alert["labels"] for alert in alerts if alert["state"] == "firing"]

    async def _ask(self, what: str, **parameters: str) -> Any:
        async with self.api.get(what, params=parameters) as answer:
            document = await answer.json()
        assert document["status"] == "success", document
        return document["data"]


@asynccontextmanager
async def real_prometheus(folder: Path, ports: LocalPorts) -> AsyncGenerator[RealPrometheus, None]:
    """It scrapes and judges each second, and an alert waits two seconds where it waits minutes."""
    [port] = free_ports(1)
    rules = folder / "rules"
    rules.mkdir()
    for file in RULES.glob("*.yml"):
        text = _WAITS.sub(r"\g<1>2s", file.read_text(encoding="utf-8"))
        (rules / file.name).write_text(text, encoding="utf-8")
    config = json.loads(prometheus_config(ports, scrapes_broker=True))
    config["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
    config["global"] |= {"evaluation_interval": "1s"}
    config["rule_files"] = [str(rules / "*.yml")]
    (folder / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")
    child = Child.spawn(
        "Prometheus",
        [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={LOOPBACK}:{port}",
        ],
        env=os.environ,
        log_path=folder / "prometheus.log",
    )
    url = f"http://{LOOPBACK}:{port}"
    try:
        await eventually(lambda: prometheus_answers(url), deadline_s=20)
        async with aiohttp.ClientSession(f"{url}/api/v1/") as api:
            yield RealPrometheus(api)
    finally:
        await child.kill()
