"""Alerts of dead letters: grouped, sent once, late when Slack is late, and when it is over."""

import asyncio
import json
import random
from datetime import timedelta
from uuid import UUID

import pytest

from ringback.services.metrics.slack.next_step import NotifyTimes
from tests.integration.metrics.slack.conftest import Place
from tests.integration.migrations.log_calls import ORG
from tests.support.eventually import eventually
from tests.support.local_slack import LocalSlack, Said

USUAL = NotifyTimes(
    batch_window=timedelta(minutes=10), interval=timedelta(minutes=60), quiet=timedelta(minutes=300)
)
"""A minute for each second in production, so that no busy machine makes anything due."""

MINUTE_S = 60
A_THOUSAND = "1,000 webhooks became dead letters: hang, TimeoutError"


async def test_a_burst_is_one_message(place: Place, slack: LocalSlack) -> None:
    """A thousand dead letters of a group and minute are one message with a count."""
    sender = place.sender(slack, USUAL)
    await place.die(600, error="TimeoutError")
    await sender.notify_next()
    await place.die(400, error="TimeoutError")
    await sender.notify_next()
    assert slack.tries == 0

    await place.let_time_pass(11 * MINUTE_S)
    for _ in range(5):
        await sender.notify_next()

    assert slack.headlines() == [A_THOUSAND]
    assert place.count("sent") == 1


async def test_groups_are_of_organisation_type_and_error(place: Place, slack: LocalSlack) -> None:
    """Each has its message, with its own numbers."""
    sender = place.sender(slack)
    await place.die(2, org_id=UUID(int=1), error="A")
    await place.die(3, org_id=UUID(int=2), error="A")
    await place.die(4, org_id=UUID(int=1), error="B")

    for _ in range(5):
        await sender.notify_next()
        await place.let_time_pass(2)

    assert [line.split()[0] for line in slack.headlines()] == ["2", "3", "4"]
    assert f"`{UUID(int=2)}`" in json.dumps(slack.taken[1])


async def test_the_end_of_a_group_is_reported_once(place: Place, slack: LocalSlack) -> None:
    """After five minutes without another one; the note counts those still unresolved."""
    sender = place.sender(slack, USUAL)
    [dead, *_] = await place.die(3)
    for _ in range(3):
        await place.let_time_pass(11 * MINUTE_S)
        await sender.notify_next()
    await place.admin.execute(
        "UPDATE webhook_delivery_log SET resolution = 'discarded' WHERE id = $1", dead.id
    )

    await place.let_time_pass(250 * MINUTE_S)
    await sender.notify_next()
    assert len(slack.taken) == 1
    await place.let_time_pass(100 * MINUTE_S)
    for _ in range(3):
        await sender.notify_next()
        await place.let_time_pass(11 * MINUTE_S)

    assert slack.headlines()[1:] == ["No more dead letters: hang, E"]
    assert "3 since" in json.dumps(slack.taken[1])
    assert "2 still unresolved" in json.dumps(slack.taken[1])
    await place.die()
    await sender.notify_next()
    await place.let_time_pass(11 * MINUTE_S)
    await sender.notify_next()
    assert slack.headlines()[2:] == ["A webhook became a dead letter: hang, E"]


async def test_the_end_is_reported_without_a_count(place: Place, slack: LocalSlack) -> None:
    """Among millions of dead letters that may take too long; the note then has no number."""
    sender = place.sender(slack, USUAL)
    await place.die(3)
    for _ in range(2):
        await place.let_time_pass(11 * MINUTE_S)
        await sender.notify_next()
    await place.admin.execute("REVOKE SELECT ON webhook_delivery_log FROM ringback_service")

    await place.let_time_pass(350 * MINUTE_S)
    await sender.notify_next()

    assert slack.headlines()[1:] == ["No more dead letters: hang, E"]
    assert "wait" not in json.dumps(slack.taken[1])


async def test_the_retry_after_of_slack_is_read(place: Place, slack: LocalSlack) -> None:
    """Until then no process tries; then one message covers everything that came."""
    slack.answers.append(Said(429, "rate_limited", "3000"))
    ours, theirs = place.sender(slack), place.sender(slack)
    await place.die(3)

    await ours.notify_next()
    await place.die(4)
    await place.let_time_pass(2000)
    for one in (ours, theirs, ours):
        await one.notify_next()
    assert (slack.tries, place.count("rate_limited")) == (1, 1)

    await place.let_time_pass(1001)
    await theirs.notify_next()

    assert slack.headlines() == ["7 webhooks became dead letters: hang, E"]
    assert (slack.tries, place.count("sent")) == (2, 1)


async def test_a_slack_that_fails_is_tried_less_and_less(place: Place, slack: LocalSlack) -> None:
    """After 1, 2 and 4 seconds; nothing is lost, and a success resets the backoff."""
    slack.answers.extend([Said(500, "internal_error"), Said(503, ""), Said(503, "")])
    await place.die(3)

    for waited_s in (0, 0.5, 0.6, 1.5, 0.6, 3.5, 0.6):
        await place.let_time_pass(waited_s)
        await place.sender(slack).notify_next()

    assert slack.tries == 4
    assert slack.headlines() == ["3 webhooks became dead letters: hang, E"]
    assert (place.count("failed"), place.count("sent")) == (3, 1)
    assert await place.admin.fetchval("SELECT failures FROM webhook_alert_lease") == 0


async def test_a_message_rejected_by_slack_is_dropped_and_counted(
    place: Place, slack: LocalSlack, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not sent again, it is logged, and it does not block other messages."""
    slack.answers.append(Said(400, "invalid_payload"))
    sender = place.sender(slack)
    await place.die(3)
    await sender.notify_next()
    await place.let_time_pass(2)
    await sender.notify_next()
    assert (slack.tries, place.count("refused")) == (1, 1)

    await place.die(2)
    await sender.notify_next()

    assert slack.headlines() == ["2 webhooks became dead letters: hang, E"]
    assert "invalid_payload" in capsys.readouterr().out


async def test_news_of_yesterday_is_dropped_and_counted(place: Place, slack: LocalSlack) -> None:
    """Slack was down for a day: older groups are dropped, newer ones are announced."""
    slack.always = Said(503, "")
    sender = place.sender(slack)
    await place.die(3, error="Old")
    await sender.notify_next()
    await place.let_time_pass(86_400)
    slack.always = None
    await place.die(2, error="New")

    for _ in range(3):
        await sender.notify_next()
        await place.let_time_pass(2)

    assert slack.headlines() == ["2 webhooks became dead letters: hang, New"]
    assert place.count("expired") == 1


@pytest.mark.parametrize("answer", [None, Said(400, "channel_not_found")])
async def test_a_stopped_forward_is_reported_once(
    place: Place, slack: LocalSlack, answer: Said | None
) -> None:
    """With what a person needs to start it again; also if it is stopped a second time.

    What Slack rejects is dropped, so that it does not delay other messages.
    """
    if answer is not None:
        slack.answers.append(answer)
    await place.stop_forward("The receiver answered with status 500.")
    for _ in range(4):
        await asyncio.gather(*(place.sender(slack).notify_next() for _ in range(3)))
        await place.let_time_pass(2)

    assert slack.tries == 1
    if answer is None:
        [message] = slack.taken
        assert message["text"] == "The forward forward.acme.crm was stopped"
        shown = json.dumps(message)
        for part in (ORG, "`acme`", "`crm`", "Failing since", "status 500", "destinations auto"):
            assert str(part) in shown

    await place.admin.execute(
        "SELECT set_webhook_destination('forward.acme.crm', NULL, 'ada', 'operator', 'Back.')"
    )
    await place.stop_forward("There was no connection.")
    await place.sender(slack).notify_next()
    assert "no connection" in json.dumps(slack.taken[-1])
    assert await place.admin.fetch("SELECT FROM webhook_forward_notices") == []


async def test_groups_without_room_are_counted(place: Place, slack: LocalSlack) -> None:
    """Invented names from untrusted callers fill no memory."""
    await place.admin.execute(
        "INSERT INTO webhook_dead_letter_notices SELECT $1, 'hang', 'E' || n, 1, $1"
        " FROM generate_series(1, 1005) AS n",
        UUID(int=1),
    )

    await place.sender(slack).notify_next()

    assert place.count("no_room") == 1
    assert slack.headlines() == ["1,000 webhooks became dead letters, in 1,000 groups"]


async def test_many_senders_send_each_message_once(place: Place, slack: LocalSlack) -> None:
    """However they collide, each dead letter is announced once."""
    senders = [place.sender(slack) for _ in range(4)]
    total = 0

    for _ in range(10):
        count = random.randint(1, 60)
        total += count
        await asyncio.gather(place.die(count), *(one.notify_next() for one in senders))
        await place.let_time_pass(2)
    await senders[0].notify_next()

    assert sum(_counted(line) for line in slack.headlines()) == total
    assert place.count("sent") == len(slack.taken) > 1


async def test_a_stop_waits_for_the_message_in_flight(place: Place, slack: LocalSlack) -> None:
    """Else the next process would send it again."""
    slack.hold = asyncio.Event()
    await place.die(3)
    sending = asyncio.create_task(place.sender(slack).run())
    await eventually(lambda: slack.taken)

    sending.cancel()
    await asyncio.sleep(0)
    slack.hold.set()
    with pytest.raises(asyncio.CancelledError):
        await sending

    assert await place.admin.fetchval("SELECT sent FROM webhook_alerts") == 3


async def test_an_unavailable_database_is_tried_again(
    place: Place, slack: LocalSlack, capsys: pytest.CaptureFixture[str]
) -> None:
    """One log line for the outage, and then the pending dead letters are announced."""
    await place.admin.execute("ALTER TABLE webhook_alerts RENAME TO mislaid")
    sending = asyncio.create_task(place.sender(slack).run(interval_s=0.01))
    text = ""

    def is_said() -> bool:
        nonlocal text
        text += capsys.readouterr().out
        return "slack.database_unavailable" in text

    await eventually(is_said)
    await place.die(3)
    await place.admin.execute("ALTER TABLE mislaid RENAME TO webhook_alerts")
    await eventually(lambda: slack.taken)

    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    is_said()
    assert text.count("slack.database_unavailable") == 1


def _counted(headline: str) -> int:
    first = headline.split(maxsplit=1)[0]
    return 1 if first == "A" else int(first.replace(",", ""))
