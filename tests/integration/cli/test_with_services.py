"""The commands that need a gateway and a processor, beside real ones."""

from pathlib import Path

from tests.integration.cli.command import ringback
from tests.integration.cli.running_services import running_services

DEMO_HANDLERS = "ringback.cli.demo.handlers"


async def test_demo_keeps_every_promise(amqp_url: str, database_url: str, tmp_path: Path) -> None:
    """Each webhook of the demo ends as promised, and the call's row is shown."""
    async with running_services(
        tmp_path,
        amqp_url=amqp_url,
        database_url=database_url,
        schedule="100ms,200ms,300ms",
        handlers=DEMO_HANDLERS,
    ) as settings:
        demo = await ringback("demo", cwd=tmp_path, **settings)

    assert demo.status == 0, demo.out + demo.err
    assert "✗" not in demo.out
    assert "completed 3/4" in demo.out
    assert "dead letter 4/4" in demo.out
    assert "dead letter 1/4" in demo.out
    assert "customer-ended-call" in demo.out


async def test_demo_tells_when_the_processor_lacks_its_handlers(
    amqp_url: str, database_url: str, tmp_path: Path
) -> None:
    """Without the handlers that fail, nothing fails; the demo says what to set, and fails."""
    async with running_services(
        tmp_path,
        amqp_url=amqp_url,
        database_url=database_url,
        schedule="100ms,200ms,300ms",
        handlers="",
    ) as settings:
        demo = await ringback("demo", cwd=tmp_path, **settings)

    assert demo.status == 1
    assert "Add ringback.cli.demo.handlers to the processor's RINGBACK_HANDLERS" in (
        " ".join(demo.out.split())
    )


async def test_send_waits_until_the_log_shows_the_end_of_each(
    amqp_url: str, database_url: str, tmp_path: Path
) -> None:
    """With --wait, copies are each completed once, and identical ones are duplicates of one."""
    async with running_services(
        tmp_path,
        amqp_url=amqp_url,
        database_url=database_url,
        schedule="100ms",
        handlers="",
    ) as settings:
        copies = await ringback(
            "send", "tool-calls", "--count", "200", "--wait", cwd=tmp_path, **settings
        )
        same = await ringback(
            "send", "hang", "--same", "--count", "4", "--wait", cwd=tmp_path, **settings
        )
        settings["RINGBACK_VAPI_SECRET"] = "wrong"
        refused = await ringback("send", "hang", "--wait", cwd=tmp_path, **settings)

    assert copies.status == 0, copies.out + copies.err
    assert _figures(copies.out)["finished"] == "200 of 200"
    assert _figures(copies.out)["completed"] == "200"
    assert _figures(copies.out)["ended twice"] == "none"
    assert same.status == 0
    assert _figures(same.out)["completed"] == "1"
    assert _figures(same.out)["duplicate"] == "3"
    assert refused.status == 1
    assert "rejected 401" in refused.out


async def test_status_shows_what_is_ready_and_what_is_not(
    amqp_url: str, database_url: str, tmp_path: Path
) -> None:
    """Services, queues and the last day's webhooks are told; one service without answer is a 1."""
    async with running_services(
        tmp_path,
        amqp_url=amqp_url,
        database_url=database_url,
        schedule="100ms",
        handlers="",
    ) as settings:
        settings["RINGBACK_METRICS_OBSERVABILITY_PORT"] = "1"
        await ringback("send", "hang", "--count", "3", "--wait", cwd=tmp_path, **settings)
        status = await ringback("status", cwd=tmp_path, **settings)

    lines = {line.split("  ")[0]: line for line in status.out.splitlines()}
    assert status.status == 1
    assert "ready" in lines["gateway"]
    assert "ready" in lines["processor"]
    assert "no answer" in lines["metrics"]
    assert "webhooks.retry.1.100ms" in status.out
    assert lines["completed"].split()[1] == "3"


def _figures(table: str) -> dict[str, str]:
    """The values of a summary by their names."""
    rows = (line.strip().partition("  ") for line in table.splitlines())
    return {name: value.strip() for name, _, value in rows}
