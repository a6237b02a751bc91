import orjson
import pytest

from ringback import samples
from ringback.cli.load.payload_template import NotJsonObjectError, copy_id, template_of
from ringback.contract.event import Event, read_event
from services.gateway.events.dedup_key import dedup_key

RUN, OTHER_RUN = "0123456789abcdef", "fedcba9876543210"
START_MS = 1_800_000_000_000


def key_of(body: bytes) -> str | None:
    """The key by which the gateway recognises the event."""
    event = read_event(body)
    assert isinstance(event, Event)
    return dedup_key(event.type, event.message)


@pytest.mark.parametrize("name", samples.names())
def test_no_copy_of_a_sample_is_a_duplicate(name: str) -> None:
    """Copies of one run, and copies of two runs begun at the same time, are different events.

    Without a key they are different events in any case.
    """
    template = template_of(samples.sample(name))

    keys = [
        key_of(template.copy(number, run=run, start_ms=START_MS))
        for run in (RUN, OTHER_RUN)
        for number in range(50)
    ]

    assert len(set(keys)) == 100 or set(keys) == {None}


@pytest.mark.parametrize(
    "message",
    [
        {"type": "unheard-of", "timestamp": 1},  # no id at all
        {"type": "unheard-of", "timestamp": 1, "call": {"id": "x"}},
        {"type": "chat.created", "chat": {"id": "chat-0001"}},
        # The time alone is not enough: this key is made of the ids.
        {"type": "tool-calls", "chat": {"id": "chat-0001"}, "toolCallList": [{"id": "t"}]},
    ],
    ids="-".join,
)
def test_other_payloads_give_unique_copies_too(message: dict[str, object]) -> None:
    """Whatever a type's key is made of, copies have different keys, also across runs."""
    template = template_of(orjson.dumps({"message": message}))

    keys = {
        key_of(template.copy(number, run=run, start_ms=START_MS - number))
        for run in (RUN, OTHER_RUN)
        for number in range(10)
    }

    assert len(keys) == 20


def test_a_copy_differs_only_in_ids_and_time() -> None:
    """The rest of the payload is unchanged, and an id that occurred twice still does."""
    payload = {
        "message": {
            "type": "hang",
            "timestamp": 1,
            "call": {"id": "call-000001", "cost": 1.5},
            "recording": "https://example.com/call-000001.wav",
            "call-000001": ["é", None, "\u0000", 7],
        }
    }

    copy = template_of(orjson.dumps(payload)).copy(3, run=RUN, start_ms=START_MS)

    new_id = copy_id(3, 0, RUN)
    assert orjson.loads(copy) == {
        "message": {
            "type": "hang",
            "timestamp": START_MS + 3,
            "call": {"id": new_id, "cost": 1.5},
            "recording": f"https://example.com/{new_id}.wav",
            "call-000001": ["é", None, "\u0000", 7],
        }
    }


def test_a_short_id_is_replaced_only_where_it_stands_alone() -> None:
    """A short id such as `a` must not change every word that contains it."""
    payload = b'{"type": "hang", "call": {"id": "a"}, "said": "a", "words": "a cat"}'

    copy = orjson.loads(template_of(payload).copy(0, run=RUN, start_ms=START_MS))

    assert copy["words"] == "a cat"
    assert copy["said"] == copy["call"]["id"] == copy_id(0, 0, RUN)


@pytest.mark.parametrize("payload", [b"", b"nope", b"[1]", b'"text"', b"\xff"])
def test_what_is_no_json_object_is_refused(payload: bytes) -> None:
    """It has no ids to replace."""
    with pytest.raises(NotJsonObjectError):
        template_of(payload)
