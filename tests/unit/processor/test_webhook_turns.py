"""The rules of ordered webhooks, whatever arrives, fails, crashes or is delivered again."""

from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.status import AttemptOutcome
from tests.support.webhook_turns import Message, ModelTurns, World


def test_a_late_webhook_that_fails_again_does_not_stop_the_others() -> None:
    turns = ModelTurns()
    for webhook in range(3):
        turns.begin(Message(webhook, 1))
    turns.finish(Message(0, 1), AttemptOutcome.FAILED)
    assert turns.pass_on() == 0
    turns.begin(Message(0, 2))
    turns.begin(Message(1, 1))
    turns.finish(Message(1, 1), AttemptOutcome.COMPLETED)
    turns.begin(Message(0, 2))

    turns.finish(Message(0, 2), AttemptOutcome.FAILED)

    assert turns.holder() == 2


@given(
    data=st.data(),
    arriving=st.permutations(range(5)),
    steps=st.integers(min_value=0, max_value=80),
)
def test_effects_of_a_key_come_in_order_and_none_is_lost_or_doubled(
    data: st.DataObject, arriving: list[int], steps: int
) -> None:
    """The world checks the order, and at its end that every webhook ended and nothing is left."""
    world = World(
        turns=ModelTurns(),
        choose=lambda options: options[data.draw(st.integers(0, len(options) - 1))],
        arriving=list(arriving),
    )
    for _ in range(steps):
        world.step()
    world.drain()
