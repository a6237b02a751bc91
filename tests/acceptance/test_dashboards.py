"""Every panel shows something of real services, asked as Grafana asks."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from deploy.grafana.generate import FOLDER
from deploy.grafana.query import SQL
from deploy.grafana.render.__main__ import render
from deploy.grafana.render.panel_queries import PanelQueries
from ringback import samples
from ringback.local.broker import PrivateBroker
from ringback.local.child import Child
from ringback.local.ports import LOOPBACK, free_ports
from ringback.local.prometheus import prometheus_answers
from ringback.metrics.client import MetricsClient
from tests.acceptance.whole import Whole, whole_ringback
from tests.support.eventually import eventually
from tests.support.tokens import token

READER = FOLDER.parent / "reader.sql"
LOGIN = "ringback_grafana"

#: An alert that fires at once, so that panels about alerts have one.
RULE = {"groups": [{"name": "try", "rules": [{
    "alert": "RingbackTry", "expr": "vector(1)", "labels": {"severity": "warning"},
}]}]}  # fmt: skip


@pytest.mark.slow
async def test_every_panel_shows_something_of_a_real_run(
    amqp_url: str, database_url: str, tmp_path: Path, broker: PrivateBroker
) -> None:
    """No query is empty after a success, a retry, a dead letter and a refusal; all can be drawn."""
    boards = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]
    empty = [panel for board in boards for panel in board["panels"] if panel["type"] != "row"]
    owner = await asyncpg.connect(database_url)
    await owner.execute(READER.read_text())
    await owner.execute(f"ALTER ROLE {LOGIN} PASSWORD '{urlsplit(database_url).password}'")

    variables = {"RINGBACK_RABBITMQ_MANAGEMENT_URL": broker.management_url}
    async with whole_ringback(amqp_url, database_url, tmp_path, **variables) as whole:
        targets = whole.observability_ports | {"rabbitmq": broker.ports.broker_metrics}
        prometheus, url = await _prometheus(targets, tmp_path)
        reader = await asyncpg.connect(database_url.replace("//postgres:", f"//{LOGIN}:"))
        try:
            dead = await whole.accepted(_demo(failForGood=True))
            await whole.settled([dead])
            org = await eventually(lambda: _organisation(reader))

            async def nothing_is_empty() -> bool:
                await _drive(whole)
                asking = _asking(url, reader, org)
                empty[:] = [panel for panel in empty if not await _answers(asking, panel)]
                assert [panel["title"] for panel in empty] == []
                return True

            await eventually(nothing_is_empty, deadline_s=60)
            pictures = [tmp_path / f"{board['uid']}.png" for board in boards]
            for board, picture in zip(boards, pictures, strict=True):
                await render(_asking(url, reader, org), board, picture)
        finally:
            await reader.close()
            await prometheus.kill()
            await owner.execute(f"DROP ROLE {LOGIN}")
            await owner.close()

    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)


async def _prometheus(targets: Mapping[str, int], folder: Path) -> tuple[Child, str]:
    [port] = free_ports(1)
    (folder / "rules.yml").write_text(json.dumps(RULE))
    document = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(folder / "rules.yml")],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"{LOOPBACK}:{observability}"]}]}
            for job, observability in targets.items()
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(document))
    command = [
        *["prometheus", f"--config.file={folder / 'prometheus.yml'}"],
        *[f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={LOOPBACK}:{port}"],
    ]
    child = Child.spawn("Prometheus", command, env={}, log_path=folder / "prometheus.log")
    url = f"http://{LOOPBACK}:{port}"
    await eventually(lambda: prometheus_answers(url), deadline_s=20)
    return child, url


async def _drive(whole: Whole) -> None:
    """A completed webhook, one that needs a second attempt, a dead letter, a refusal, a call."""
    await whole.accepted(samples.sample("transcript"))
    await whole.accepted(_demo(failUntilAttempt=2))
    await whole.accepted(_demo(failForGood=True))
    assert (await whole.post(b"no JSON"))[0] == 400
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


def _demo(**asked: object) -> bytes:
    return json.dumps({"message": {"type": "ringback.demo", "at": time.time(), **asked}}).encode()
