"""From a dead letter to its retry on the pages of a running service."""

import re
from pathlib import Path

import aiohttp

from tests.integration.metrics.filled_service import EVENT, OURS, THEIRS, filled_service, plain
from tests.support.session_nodes import SessionNodes
from tests.support.tokens import CONSOLE_SECRET, bearer

SAME = {"Sec-Fetch-Site": "same-origin"}


async def test_a_dead_letter_is_retried_on_its_page(
    session_nodes: SessionNodes, tmp_path: Path
) -> None:
    async with (
        filled_service(session_nodes, tmp_path, RINGBACK_CONSOLE_SECRET=CONSOLE_SECRET) as service,
        aiohttp.ClientSession(f"http://127.0.0.1:{service.process.rest_port}") as session,
    ):
        job_id = str(service.dead[0])
        path = f"/console/webhooks/{job_id}"
        ours = {"Authorization": bearer("tenant", OURS, subject="grace")}
        theirs = {"Authorization": bearer("tenant", THEIRS)}

        async def get(path: str, headers: dict[str, str] = ours) -> tuple[int, str]:
            async with session.get(path, headers=headers, allow_redirects=False) as answer:
                return answer.status, await answer.text()

        async def post(verb: str, headers: dict[str, str]) -> tuple[int, str]:
            async with session.post(
                f"{path}/{verb}", headers=headers, data=form, allow_redirects=False
            ) as answer:
                return answer.status, answer.headers.get("Location", "")

        status, page = await get(path)
        assert status == 200
        assert "The CRM is away." in page
        assert plain((await get(f"{path}/payload.json"))[1]) == plain(EVENT)
        assert "12345678901234567890.10" in page
        [request_id, *_] = re.findall(r'name="request_id" value="([^"]+)"', page)
        form = {"reason": "The CRM is back.", "request_id": request_id}

        # Another organisation, and another site.
        assert (await get(path, theirs))[0] == 404
        assert (await post("retry", theirs | SAME))[0] == 404
        assert (await post("retry", ours | {"Sec-Fetch-Site": "cross-site"}))[0] == 403
        assert "It was retried." not in (await get(f"{path}?done=nothing"))[1]
        form["reason"] = ""
        assert (await post("discard", ours | SAME))[0] == 400
        form["reason"] = "The CRM is back."

        # The second one is a double click.
        for _ in range(2):
            assert await post("retry", ours | SAME) == (303, f"{path}?done=retried")

        _, page = await get(f"{path}?done=retried")
        assert "It was retried." in page
        assert "by <bdi>grace</bdi>: <bdi>The CRM is back.</bdi>" in page
        links = set(re.findall(r'href="/console/webhooks/([0-9a-f-]{36})"', page)) - {job_id}
        [new_id] = links
        _, retried = await get(f"/console/webhooks/{new_id}")
        assert "Made as a retry of" in retried
        # A short id leads to the whole one.
        async with session.get(
            f"/console/webhooks/{new_id[:30]}", headers=ours, allow_redirects=False
        ) as answer:
            assert (answer.status, answer.headers["Location"]) == (
                303,
                f"/console/webhooks/{new_id}",
            )

        for order in ("arrival", "own"):
            status, page = await get(f"/console/calls/call-1?order={order}")
            assert status == 200
            assert f"/console/webhooks/{new_id}" in page
            assert f"/console/webhooks/{service.theirs}" not in page

        copy = service.duplicates[0]
        status, page = await get(f"/console/webhooks/{copy}")
        assert status == 200
        assert "Their events are the same." in page
