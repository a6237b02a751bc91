from pathlib import Path

from tests.integration.cli.command import ringback


async def test_check_tells_what_is_missing_until_it_is_applied(
    amqp_url: str, tmp_path: Path
) -> None:
    """`check` fails with a sentence per object, `apply` makes them all, then `check` agrees."""
    settings = {"RINGBACK_AMQP_URL": amqp_url, "RINGBACK_RETRY_SCHEDULE": "1s,5s"}

    before = await ringback("topology", "check", cwd=tmp_path, **settings)
    applied = await ringback("topology", "apply", cwd=tmp_path, **settings)
    after = await ringback("topology", "check", cwd=tmp_path, **settings)

    assert before.status == 1
    assert "The queue webhooks.retry.2.5s does not exist." in before.out
    assert "`ringback topology apply` declares what is missing." in before.out
    assert applied.status == after.status == 0
    assert "Attempts per webhook: 3" in applied.out
    assert "The topology is complete." in after.out


async def test_another_schedule_is_a_difference(amqp_url: str, tmp_path: Path) -> None:
    """A retry queue of another delay is another queue, so `check` finds that it is missing."""
    await ringback(
        "topology", "apply", cwd=tmp_path, RINGBACK_AMQP_URL=amqp_url, RINGBACK_RETRY_SCHEDULE="1s"
    )

    checked = await ringback(
        "topology", "check", cwd=tmp_path, RINGBACK_AMQP_URL=amqp_url, RINGBACK_RETRY_SCHEDULE="2s"
    )

    assert checked.status == 1
    assert "webhooks.retry.1.2s" in checked.out
