"""Credentials in webhooks: the handlers see them, and nobody finds them anywhere afterwards."""

import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ringback import samples
from ringback.metrics.client import MetricsClient
from tests.acceptance.whole import ROOT, SERVICES, Whole, whole_ringback
from tests.integration.cli.command import ringback
from tests.support.tokens import JWT_SECRET, bearer, token

CANARY = "canary-7f3a9c51"
FATES = ("done", "fail", "dead")


def planted(name: str, fate: str) -> bytes:
    """A sample with credentials wherever Vapi is known to put them, as an event of its own."""
    document = json.loads(samples.sample(name))
    message = document["message"]
    secrets = {"secret": CANARY, "headers": {"Authorization": f"Bearer {CANARY}", "n": [CANARY]}}
    message["fate"] = fate
    call = message.setdefault("call", {})
    call["id"] = f"call-{name}-{fate}"
    call["monitor"] = {"listenUrl": f"wss://{CANARY}/listen", "controlUrl": f"https://{CANARY}/c"}
    call["transport"] = {"callToken": CANARY}
    message["phoneNumber"] = call["phoneNumber"] = {
        "twilioAuthToken": CANARY,
        "twilioApiKey": CANARY,
        "twilioApiSecret": CANARY,
        "twilioAccountSid": CANARY,
        "serverUrlSecret": CANARY,
    }
    message["assistant"] = {"server": secrets, "credentials": [{"apiKey": CANARY, "n": 1}]}
    message["toolWithToolCallList"] = [{"type": "function", "server": secrets}]
    message.setdefault("artifact", {})["presignedNewUrl"] = f"https://s3/?X-Sig={CANARY}"
    message["spelled"] = {
        "api_key": CANARY,
        "X-API-Key": CANARY,
        "Authorization": CANARY,
        "sipHeaders": {"X-Custom": CANARY},
        "recordingUrl": f"https://ada:{CANARY}@host.example/a.wav?token={CANARY}&a=1#sig={CANARY}",
        "arguments": json.dumps({"n": 1.5, "login": {"authPassword": CANARY}}),
    }
    message["timestamp"] = 1_700_000_000_000 + FATES.index(fate)
    message["toolCallList"] = [{"id": f"{name}-{fate}", "name": "x"}]
    return json.dumps(document, indent=2).encode()


async def everything_in(database: asyncpg.Pool) -> str:
    """Every row of every table, as text."""
    tables = await database.fetch(
        "SELECT oid::regclass::text AS name FROM pg_class"
        " WHERE relkind IN ('r', 'p', 'm') AND relnamespace = 'public'::regnamespace"
    )
    rows = [
        await database.fetch(f"SELECT t::text FROM {table['name']} AS t")  # ruff: ignore[hardcoded-sql-expression]
        for table in tables
    ]
    return "\n".join(row[0] for found in rows for row in found)


async def said_by_the_command(whole: Whole, *arguments: str) -> str:
    """What `ringback` prints."""
    settings = {"RINGBACK_METRICS_URL": whole.grpc_address, "RINGBACK_JWT_SECRET": JWT_SECRET}
    done = await ringback(*arguments, cwd=ROOT, **settings)
    assert done.status == 0, done
    return done.out + done.err


async def shown_by(whole: Whole, dead: str) -> list[str]:
    """What each way to look at the log shows, and what becomes of a retry."""
    url = f"{whole.rest_url}/api/webhook-metrics"
    shown = []
    headers = {"Authorization": bearer("service")}
    for path in (f"/deliveries/{dead}", "/dead-letter-queue", "/recent-failures", "/deliveries"):
        async with whole.http.get(url + path, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            shown.append(await answer.text())
    async with MetricsClient(whole.grpc_address, token=token("service")) as client:
        retried = await client.retry_delivery(dead, reason="A test retries it.")
        await whole.settled([retried.new_job_id])
        copy = await client.delivery(retried.new_job_id)
    assert retried.redacted
    assert copy.delivery.redacted
    shown += [str(retried), str(copy)]
    shown.append(await said_by_the_command(whole, "dead", "list"))
    words = await said_by_the_command(whole, "dead", "show", retried.new_job_id)
    assert "credentials in the event were removed" in words
    shown.append(words)
    words = await said_by_the_command(whole, "dead", "retry", retried.new_job_id)
    assert "Its event is redacted" in words
    for observability in whole.observability_ports.values():
        async with whole.http.get(f"http://127.0.0.1:{observability}/metrics") as answer:
            shown.append(await answer.text())
    return [*shown, words]


def witnessed(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
async def test_a_credential_is_seen_by_handlers_and_found_nowhere_else(
    amqp_url: str, database_url: str, tmp_path: Path
) -> None:
    """Not in a table, a log line, a span, a metric, an answer or a command's output."""
    seen, spans = tmp_path / "witness.jsonl", tmp_path / "spans.jsonl"
    async with whole_ringback(
        amqp_url,
        database_url,
        tmp_path,
        RINGBACK_HANDLERS="tests.acceptance.witness",
        RINGBACK_TRACE_FILE=str(spans),
        OTEL_TRACES_SAMPLER="always_on",
        WITNESS_FILE=str(seen),
    ) as whole:
        jobs = {
            (name, fate): await whole.accepted(planted(name, fate))
            for name in samples.call_names()
            for fate in FATES
        }
        await whole.settled(list(jobs.values()), deadline_s=60)

        shown = await shown_by(whole, jobs["hang", "dead"])
        stored = await everything_in(whole.database)

    written = {name: (tmp_path / f"{name}.log").read_text(encoding="utf-8") for name in SERVICES}
    places = {
        **written,
        "spans": spans.read_text(encoding="utf-8"),
        "tables": stored,
        "shown": "\n".join(shown),
    }
    assert [name for name, text in places.items() if CANARY in text] == []
    assert stored.count("[redacted by Ringback]") > len(jobs)
    assert spans.stat().st_size > 0
    originals = [one for one in witnessed(seen) if CANARY in json.dumps(one)]
    assert len(originals) == len(samples.call_names()) * (1 + 4 + 1)
    assert len(witnessed(seen)) > len(originals)
