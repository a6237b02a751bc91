"""The groups of dead letters in the database, as several processes use them."""

from datetime import timedelta
from uuid import UUID

from ringback.services.metrics.slack.alert_log import AlertGroup
from tests.integration.metrics.slack.conftest import LEASE, Place
from tests.integration.migrations.log_calls import End, Webhook, bury, finish
from tests.support.database_roles import CALLERS, GATEWAY, PROCESSOR, SERVICE

THEIRS = UUID(int=77)
_NOTICES = (
    "SELECT dead_letters, error_class, org_id FROM webhook_dead_letter_notices ORDER BY created_at"
)


async def test_a_statement_leaves_a_notice_for_each_group(place: Place) -> None:
    """However many dead letters it makes, a burst costs the processor a row, not a thousand."""
    dead = [*[Webhook() for _ in range(40)], Webhook(org_id=THEIRS)]
    await bury(place.processor, *dead, error=("TimeoutError", "late"))

    notices = await place.admin.fetch(_NOTICES)

    assert sorted((row["dead_letters"], row["org_id"]) for row in notices) == [
        (1, THEIRS),
        (40, dead[0].org_id),
    ]
    newest = {group.example for group in await _folded(place)}
    assert newest == {max(webhook.id for webhook in dead[:40]), dead[40].id}


async def test_a_dead_letter_is_noted_once(place: Place) -> None:
    """The DLQ may deliver a message more than once; it is announced once."""
    [dead] = await place.die()
    await bury(place.processor, dead, error=("E", "again"))

    assert len(await place.admin.fetch(_NOTICES)) == 1


async def test_attempts_leave_no_notice(place: Place) -> None:
    """Only dead letters cost this write; completing or failing an attempt adds none."""
    await finish(place.processor, End(Webhook()), End(Webhook(), "failed", 1, ("E", "e")))

    assert await place.admin.fetch(_NOTICES) == []


async def test_a_name_of_any_length_is_a_group(place: Place) -> None:
    """An error class is shortened for the key of its group, and found again by that."""
    await place.die(error="E" * 5_000)

    groups = await _folded(place)

    assert [group.error_class for group in groups] == ["E" * 200]
    assert await place.alerts().unresolved(groups) == {groups[0].key: 1}


async def test_at_most_a_thousand_groups_are_kept(place: Place) -> None:
    """The dead letters beyond are counted, and existing groups still grow."""
    await place.admin.execute(
        "INSERT INTO webhook_dead_letter_notices SELECT $1, 'hang', 'E' || n, 1, $2"
        " FROM generate_series(1, 1002) AS n",
        THEIRS,
        UUID(int=1),
    )

    assert await place.alerts().fold() == 2

    await place.admin.execute(
        "INSERT INTO webhook_dead_letter_notices SELECT org_id, event_type, error_class, 1, example"
        " FROM webhook_alerts"
    )
    assert await place.alerts().fold() == 0
    groups = await _folded(place)
    assert {group.unsent for group in groups} == {2}
    assert len(groups) == 1000


async def test_only_one_process_has_the_lease(place: Place) -> None:
    """Until it gives it back, or its lease has ended because it died."""
    ours, theirs = place.alerts(), place.alerts()

    assert await ours.acquire_lease(LEASE) == 0
    assert await theirs.acquire_lease(LEASE) is None
    assert await ours.acquire_lease(LEASE) == 0
    await ours.release_lease(0, timedelta(0))
    assert await theirs.acquire_lease(LEASE) == 0
    await place.let_time_pass(3601)
    assert await ours.acquire_lease(LEASE) == 0


async def test_dead_letters_during_a_send_stay_unsent(place: Place) -> None:
    """The message had a count, and no more than that is settled."""
    ours = place.alerts()
    await place.die(3)
    groups = await _folded(place)
    await ours.acquire_lease(LEASE)
    await place.die(2)
    await ours.fold()

    await ours.mark_sent(groups)

    [[after], _] = await ours.groups()
    assert (after.unsent, after.sent) == (2, 3)
    assert after.unsent_since is not None


async def test_a_lost_lease_marks_nothing(place: Place) -> None:
    """It slept longer than its lease; another process has announced and settled them."""
    ours, theirs = place.alerts(), place.alerts()
    await place.die(3)
    groups = await _folded(place)
    await ours.acquire_lease(LEASE)
    await place.let_time_pass(3601)
    await theirs.acquire_lease(LEASE)
    await theirs.mark_sent(groups)

    await ours.mark_sent(groups)
    await ours.close(groups)
    await ours.release_lease(5, LEASE)

    [[after], _] = await ours.groups()
    assert (after.unsent, after.sent) == (0, 3)
    assert await theirs.acquire_lease(LEASE) == 0


async def test_a_group_that_grew_does_not_end(place: Place) -> None:
    """Dead letters after the quiet message continue the group."""
    ours = place.alerts()
    await place.die(error="Grows")
    await place.die(error="Ends")
    groups = await _folded(place)
    await ours.acquire_lease(LEASE)
    await place.die(error="Grows")
    await ours.fold()

    await ours.close(groups)

    assert [group.error_class for group in (await ours.groups())[0]] == ["Grows"]


async def test_without_a_channel_old_notices_are_pruned(place: Place) -> None:
    """Without Slack nothing piles up; the last minutes stay for when it is turned on."""
    await place.die(error="Old")
    await place.admin.execute(
        "UPDATE webhook_dead_letter_notices SET created_at = now() - interval '11 minutes'"
    )
    await place.die(error="New")

    await place.stop_forward("It failed.")
    await place.admin.execute(
        "UPDATE webhook_forward_notices SET stopped_at = now() - interval '11 minutes'"
    )

    await place.alerts().prune()

    assert await place.alerts().stopped_forwards() == []
    assert [row["error_class"] for row in await place.admin.fetch(_NOTICES)] == ["New"]


async def test_only_the_service_sees_alert_groups(place: Place) -> None:
    """They cover all organisations; no tenant may read these tables."""
    tables = ["webhook_alerts", "webhook_dead_letter_notices", "webhook_alert_lease"]
    readers = await place.admin.fetch(
        "SELECT role, name FROM unnest($1::text[]) AS role, unnest($2::text[]) AS name"
        " WHERE has_any_column_privilege(role, name, 'SELECT')",
        [GATEWAY, PROCESSOR, *CALLERS],
        tables,
    )

    assert [tuple(row) for row in readers] == [(SERVICE, "webhook_alerts")]


async def _folded(place: Place) -> list[AlertGroup]:
    """All groups, with every notice in them."""
    alerts = place.alerts()
    await alerts.fold()
    return (await alerts.groups())[0]
