import orjson

from ringback import samples
from ringback.cli.load.payload_template import sent_at_ms, shift_timestamps


def test_times_move_and_nothing_else_does() -> None:
    """Epoch milliseconds and ISO times move together; prices, durations and texts stay."""
    payload = {
        "message": {
            "timestamp": 1786718262833,
            "startedAt": "2026-08-14T14:37:06.180Z",
            "exact": 1786718262833.5,
            "durationMs": 26830,
            "cost": 0.07,
            "ended": True,
            "summary": "on 2026-08-14T14:37:06.180Z, they said",
        }
    }

    later = orjson.loads(shift_timestamps(orjson.dumps(payload), 60_000))["message"]

    assert later == payload["message"] | {
        "timestamp": 1786718322833,
        "startedAt": "2026-08-14T14:38:06.180Z",
        "exact": 1786718322833.5,
    }


def test_a_moved_sample_was_sent_at_the_wanted_time() -> None:
    """Shifting by the difference to now makes a sample happen now."""
    body = samples.sample("end-of-call-report")

    now = shift_timestamps(body, 1_900_000_000_000 - sent_at_ms(body))

    assert sent_at_ms(now) == 1_900_000_000_000
