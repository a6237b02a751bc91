"""Ask a running Grafana for its dashboards, and for the answer to every query of every panel.

python -m deploy.grafana.check --url http://127.0.0.1:3000 --password local-only-grafana

The exit status is 1 if a dashboard of this folder is not provisioned, or if a query fails.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import aiohttp

from deploy.grafana.generate import FOLDER
from deploy.grafana.query import DATA_SOURCES, POSTGRESQL, SQL, with_default_variables

_POLL_S = 1.0
_REQUEST = aiohttp.ClientTimeout(total=60)
_RANGE = {"from": "now-15m", "to": "now"}


def own_dashboards() -> set[str]:
    """The uids of the dashboards of this folder."""
    return {json.loads(path.read_text("utf-8"))["uid"] for path in FOLDER.glob("*.json")}


async def problems(http: aiohttp.ClientSession, uids: set[str]) -> AsyncIterator[str]:
    """A sentence for each missing dashboard and each failing query; `http` has Grafana's URL."""
    async with http.get("api/search", params={"type": "dash-db"}, raise_for_status=True) as answer:
        there = {one["uid"] for one in await answer.json()}
    for uid in sorted(uids - there):
        yield f"The dashboard {uid} is not provisioned."
    org = await _organisation(http)
    for uid in sorted(uids & there):
        async with http.get(f"api/dashboards/uid/{uid}", raise_for_status=True) as answer:
            dashboard = (await answer.json())["dashboard"]
        for panel in dashboard["panels"]:
            for error in await _failures(http, panel, org):
                yield f"The panel {panel['title']!r} of {uid} fails: {error}"


async def _failures(http: aiohttp.ClientSession, panel: Mapping[str, Any], org: str) -> list[str]:
    queries = [{"datasource": panel["datasource"], **target} for target in panel.get("targets", ())]
    if not queries:
        return []
    asked = with_default_variables(json.dumps(queries)).replace("$org", org)
    results = await _query(http, json.loads(asked))
    return [
        str(results.get(query["refId"], {}).get("error", "it has no answer"))
        for query in queries
        if "error" in results.get(query["refId"], {"error": ""})
    ]


async def _organisation(http: aiohttp.ClientSession) -> str:
    """The first organisation, as Grafana offers it for the variable `org`."""
    query = {
        "datasource": POSTGRESQL.to_json() | {"uid": DATA_SOURCES["log"]},
        "refId": "A",
        "format": "table",
        "rawQuery": True,
        "rawSql": (SQL / "organisations.sql").read_text("utf-8"),
    }
    answer = (await _query(http, [query])).get("A", {})
    for frame in answer.get("frames", ()):
        for column in frame["data"]["values"]:
            if column:
                return str(column[0])
    raise LookupError(answer.get("error", "The delivery log has no webhook of any organisation."))


async def _query(
    http: aiohttp.ClientSession, queries: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    asked = [{"intervalMs": 15_000, "maxDataPoints": 240, **query} for query in queries]
    async with http.post("api/ds/query", json={"queries": asked, **_RANGE}) as answer:
        # 400 and 207 also have a result for each query.
        document = await answer.json()
    results: dict[str, dict[str, Any]] = document.get("results", {})
    if not results:
        raise LookupError(f"Grafana answered {answer.status}: {json.dumps(document)[:500]}")
    return results


async def _check(url: str, user: str, password: str, within_s: float) -> list[str]:
    auth = {"Authorization": aiohttp.encode_basic_auth(user, password)}
    base = f"{url.rstrip('/')}/"
    deadline = time.monotonic() + within_s
    async with aiohttp.ClientSession(base, headers=auth, timeout=_REQUEST) as http:
        while True:
            try:
                found = [text async for text in problems(http, own_dashboards())]
            except (aiohttp.ClientError, TimeoutError, LookupError) as exc:
                found = [f"Grafana at {url} does not answer: {str(exc) or type(exc).__name__}"]
            if not found or time.monotonic() > deadline:
                return found
            await asyncio.sleep(_POLL_S)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.grafana.check")
    parser.add_argument("--url", default="http://127.0.0.1:3000")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password", default="local-only-grafana")
    parser.add_argument("--within", type=float, default=60.0, help="seconds to wait")
    given = parser.parse_args(arguments)
    found = asyncio.run(_check(given.url, given.user, given.password, given.within))
    if found:
        print("\n".join(found), file=sys.stderr)
        return 1
    print(f"Grafana answers every query of {', '.join(sorted(own_dashboards()))}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
