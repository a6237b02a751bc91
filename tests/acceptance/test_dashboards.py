"""A real Prometheus scrapes real services: rules and dashboards show what happened."""

import json
import os
import re
import shutil
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest

from deploy.grafana.generate import FOLDER
from deploy.grafana.query import SQL
from deploy.grafana.render.panel_queries import PanelQueries
from ringback import samples
from ringback.local.broker import PrivateBroker
from ringback.local.child import Child
from ringback.local.ports import LOOPBACK, LocalPorts, ServicePorts, free_ports
from ringback.local.prometheus import RULES, prometheus_answers, prometheus_config
from ringback.metrics.client import MetricsClient
from tests.acceptance.whole import SERVICES, Whole, declare_question, demo, whole_ringback
from tests.support.answering_backend import backend
from tests.support.eventually import eventually
from tests.support.tokens import token

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("prometheus"), reason="`make test-slow` installs it"),
]

READER = FOLDER.parent / "reader.sql"
LOGIN = "ringback_grafana"
_WAITS = re.compile(r"^( +for: )\d+[mh]$", re.MULTILINE)

#: An alert that fires at once, so that panels about alerts have one.
FIRING = {"groups": [{"name": "try", "rules": [{
    "alert": "RingbackTry", "expr": "vector(1)", "labels": {"severity": "warning"},
}]}]}  # fmt: skip

SUCCESS = "sum(rate(webhook_completed_total[24h])) / sum(rate(webhook_total[24h])) * 100"
MEAN = "avg(webhook_processing_duration_seconds)"
DEAD = "webhook_dead_letter_queue_size"


@dataclass(frozen=True, slots=True)
class RealPrometheus:
    url: str
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
        """The labels of each alert that fires, except the one that always does."""
        alerts = (await self._ask("alerts"))["alerts"]
        return [
            alert["labels"]
            for alert in alerts
            if alert["state"] == "firing" and alert["labels"]["alertname"] != "RingbackTry"
        ]

    async def _ask(self, what: str, **parameters: str) -> Any:
        async with self.api.get(what, params=parameters) as answer:
            document = await answer.json()
        assert document["status"] == "success", document
        return document["data"]


@asynccontextmanager
async def real_prometheus(folder: Path, ports: LocalPorts) -> AsyncGenerator[RealPrometheus, None]:
    """It scrapes and evaluates each second, and alerts wait for two seconds instead of minutes."""
    [port] = free_ports(1)
    rules = folder / "rules"
    rules.mkdir(parents=True)
    (rules / "firing.yml").write_text(json.dumps(FIRING))
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
            yield RealPrometheus(url, api)
    finally:
        await child.kill()


def ports_of(whole: Whole, broker: PrivateBroker) -> LocalPorts:
    observability_ports = {
        f"{name}_observability": port for name, port in whole.observability_ports.items()
    }
    return LocalPorts(broker=broker.ports, services=ServicePorts(**observability_ports))


@asynccontextmanager
async def reading(database_url: str) -> AsyncGenerator[asyncpg.Connection, None]:
    """A connection with the rights of Grafana."""
    owner = await asyncpg.connect(database_url)
    await owner.execute(READER.read_text())
    await owner.execute(f"ALTER ROLE {LOGIN} PASSWORD '{urlsplit(database_url).password}'")
    reader = await asyncpg.connect(database_url.replace("//postgres:", f"//{LOGIN}:"))
    try:
        yield reader
    finally:
        await reader.close()
        await owner.execute(f"DROP ROLE {LOGIN}")
        await owner.close()


async def test_rules_and_dashboards_work_on_real_services(
    amqp_url: str, database_url: str, tmp_path: Path, broker: PrivateBroker
) -> None:
    """Every rule is evaluated, no panel is empty, all can be drawn, and a lost service alerts."""
    # It imports matplotlib, which takes a second of each process that collects tests.
    from deploy.grafana.render.__main__ import render  # ruff: ignore[import-outside-top-level]

    boards = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]
    empty = [panel for board in boards for panel in board["panels"] if panel["type"] != "row"]
    variables = {"RINGBACK_RABBITMQ_MANAGEMENT_URL": broker.management_url}
    async with (
        backend() as answering,
        whole_ringback(
            amqp_url,
            database_url,
            tmp_path,
            **variables,
            **declare_question(tmp_path, answering.url("/answer")),
        ) as whole,
        real_prometheus(tmp_path / "prometheus", ports_of(whole, broker)) as prometheus,
        reading(database_url) as reader,
    ):
        await eventually(lambda: all_up(prometheus))
        done = await whole.accepted(demo(at=time.time()))
        dead = await whole.accepted(demo(at=time.time(), failForGood=True))
        assert await whole.settled([done, dead]) == ["completed", "dead_letter"]
        await eventually(lambda: figures_come_out(prometheus))
        await eventually(lambda: rules_are_sound(prometheus))
        await eventually(lambda: nothing_fires(prometheus))

        org = await eventually(lambda: _organisation(reader))

        async def nothing_is_empty() -> bool:
            await _drive(whole)
            asking = _asking(prometheus.url, reader, org)
            empty[:] = [panel for panel in empty if not await _answers(asking, panel)]
            assert [panel["title"] for panel in empty] == []
            return True

        await eventually(nothing_is_empty)
        pictures = [tmp_path / f"{board['uid']}.png" for board in boards]
        for board, picture in zip(boards, pictures, strict=True):
            await render(_asking(prometheus.url, reader, org), board, picture)
        whole.processes["processor"].terminate()
        await eventually(lambda: no_data_of(prometheus, "processor"))

    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)


async def all_up(prometheus: RealPrometheus) -> bool:
    assert await prometheus.value("sum(up)") == len(SERVICES) + 1
    assert await prometheus.value('sum(webhook_completed_total{event_type="other"})') == 0
    assert await prometheus.value("sum(webhook_total)") == 0
    return True


async def figures_come_out(prometheus: RealPrometheus) -> bool:
    """The expressions of existing dashboards, unchanged."""
    success, mean = await prometheus.value(SUCCESS), await prometheus.value(MEAN)

    assert success == pytest.approx(50, abs=5)
    assert mean is not None
    assert mean > 0
    assert await prometheus.value(DEAD) == 1
    return True


async def rules_are_sound(prometheus: RealPrometheus) -> bool:
    rules = await prometheus.rules()

    assert rules
    assert {rule["name"] for rule in rules if rule["health"] != "ok"} == set()
    assert await prometheus.value("count(slo:period_error_budget_remaining:ratio)") == 2
    return True


async def nothing_fires(prometheus: RealPrometheus) -> bool:
    """A busy machine may be late for a scrape, and alerts wait for only two seconds here."""
    assert await prometheus.firing() == []
    return True


async def no_data_of(prometheus: RealPrometheus, service: str) -> bool:
    firing = [one for one in await prometheus.firing() if one["alertname"] == "RingbackNoData"]
    return [one["job"] for one in firing] == [service]


async def _drive(whole: Whole) -> None:
    """A webhook for each way to end, a refusal, a question, and a call of the API."""
    await whole.accepted(samples.sample("transcript"))
    await whole.accepted(demo(at=time.time(), failUntilAttempt=2))
    await whole.accepted(demo(at=time.time(), failForGood=True))
    assert (await whole.post(b"no JSON"))[0] == 400
    await whole.asked()
    async with MetricsClient(whole.grpc_address, token=token("service")) as client:
        await client.queue_health()


async def _organisation(reader: asyncpg.Connection) -> str | None:
    found = await reader.fetchval((SQL / "organisations.sql").read_text())
    return str(found) if found else None


def _asking(url: str, reader: asyncpg.Connection, org: str) -> PanelQueries:
    now = time.time()
    return PanelQueries(
        prometheus=url, database=reader, org=org, since=now - 300, until=now, rate_interval="20s"
    )


async def _answers(asking: PanelQueries, panel: Any) -> bool:
    """Whether each query of a panel has an answer, not only one of them."""
    for target in panel["targets"]:
        found = await asking.panel(panel | {"targets": [target]})
        if not found.series and not found.rows:
            return False
    return True
