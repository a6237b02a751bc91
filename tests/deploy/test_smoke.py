"""The smoke test and the check of Grafana say in a sentence what is wrong."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploy.docker.smoke import Smoke, SmokeError
from deploy.grafana.check import own_dashboards, problems
from deploy.grafana.generate import FOLDER

JOB = "01a20a21-a982-72d2-8694-47f1fbe86eb1"
UP = {"scrapeUrl": "http://gateway:9101/metrics", "health": "up"}
RULE = {"name": "RingbackNoData", "health": "ok"}


@asynccontextmanager
async def serving(
    answer: Callable[[web.Request], Awaitable[web.Response]],
) -> AsyncGenerator[str, None]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    running = TestServer(app)
    await running.start_server()
    try:
        yield str(running.make_url("/"))
    finally:
        await running.close()


def ringback(
    *, accepts: int = 200, status: str = "completed", target: str = "up", rule: str = "ok"
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A gateway, a metrics API and a Prometheus at one address."""

    async def answer(request: web.Request) -> web.Response:
        match request.path:
            case "/api/webhooks/vapi":
                await request.read()
                body = {"success": True, "jobId": JOB} if accepts == 200 else {"detail": "No."}
                return web.json_response(body, status=accepts)
            case "/api/v1/targets":
                return web.json_response({"data": {"activeTargets": [UP | {"health": target}]}})
            case "/api/v1/rules":
                groups = [{"rules": [RULE | {"health": rule}]}]
                return web.json_response({"data": {"groups": groups}})
        assert request.path == f"/api/webhook-metrics/deliveries/{JOB}"
        return web.json_response({"delivery": {"status": status}})

    return answer


def smoke(url: str) -> Smoke:
    return Smoke(
        webhooks=url,
        metrics=url,
        prometheus=url.rstrip("/"),
        secret="",
        token="a token",
        count=2,
        within_s=0.1,
    )


async def test_a_healthy_installation_passes() -> None:
    async with serving(ringback()) as url:
        text = await smoke(url).run()

    assert text.startswith("2 webhooks were accepted and completed.")
    assert "1 targets" in text


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ({"accepts": 401}, "answered 401 to a webhook"),
        ({"status": "processing"}, "is not completed after 0.1 s"),
        ({"target": "down"}, "http://gateway:9101/metrics is down"),
        ({"rule": "err"}, "the rule RingbackNoData is err"),
    ],
)
async def test_what_is_wrong_is_named(broken: dict[str, Any], sentence: str) -> None:
    async with serving(ringback(**broken)) as url:
        with pytest.raises(SmokeError) as raised:
            await smoke(url).run()

    assert sentence in str(raised.value)


async def test_an_address_without_a_server_is_named() -> None:
    nobody = "http://127.0.0.1:1"
    with pytest.raises(SmokeError, match=f"The gateway at {nobody}"):
        await smoke(nobody).run()
    async with serving(ringback()) as url:
        with pytest.raises(SmokeError, match=f"The metrics API at {nobody} cannot be reached"):
            await replace(smoke(url), metrics=nobody).run()


def grafana(asked: list[dict[str, Any]], *, fails: str = "", without: str = "") -> Any:
    """A Grafana with the dashboards of the repository, which answers queries with no rows."""
    there = {
        json.loads(path.read_text("utf-8"))["uid"]: path
        for path in FOLDER.glob("*.json")
        if path.stem != without
    }

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/api/search":
            return web.json_response([{"uid": uid} for uid in there])
        if request.path.startswith("/api/dashboards/uid/"):
            text = there[request.path.rpartition("/")[2]].read_text("utf-8")
            return web.json_response({"dashboard": json.loads(text)})
        queries = (await request.json())["queries"]
        asked.extend(queries)
        frame = {"data": {"values": [["the-first-organisation"]]}}
        results = {
            query["refId"]: {"error": "no such metric", "frames": []}
            if fails and fails in query.get("expr", "")
            else {"frames": [frame]}
            for query in queries
        }
        return web.json_response({"results": results})

    return answer


async def found_in(fake: Any) -> list[str]:
    async with serving(fake) as url, aiohttp.ClientSession(url) as http:
        return [text async for text in problems(http, own_dashboards())]


async def test_grafana_is_asked_every_query_of_every_panel() -> None:
    """With its data source, and with an organisation in place of the variable."""
    asked: list[dict[str, Any]] = []

    assert await found_in(grafana(asked)) == []

    boards = [json.loads(path.read_text("utf-8")) for path in FOLDER.glob("*.json")]
    panels = [panel for board in boards for panel in board["panels"]]
    # And one for the organisation.
    assert len(asked) == sum(len(panel.get("targets", ())) for panel in panels) + 1
    assert {one["datasource"]["uid"] for one in asked} == {
        "ringback-prometheus",
        "ringback-postgresql",
    }
    assert "$org" not in str(asked)
    assert "the-first-organisation" in str(asked)


async def test_a_failing_panel_and_a_missing_dashboard_are_named() -> None:
    failing = await found_in(grafana([], fails="webhook_dead_letter_queue_size"))
    missing = await found_in(grafana([], without="ringback-queues"))

    assert failing
    assert all("fails: no such metric" in text for text in failing)
    assert missing == ["The dashboard ringback-queues is not provisioned."]
