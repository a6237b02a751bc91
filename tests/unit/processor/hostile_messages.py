"""Messages as a foreign or broken client might publish them."""

from typing import Any

from hypothesis import strategies as st

from ringback.services.processor.consume.message import Message
from tests.unit.processor.events import ENVELOPE, JOB

_NAMES = [*ENVELOPE.headers(), "attempt", "error_class", "error_message", "x-death", "tracestate",
          "x-delivery-count", "retry_of"]  # fmt: skip
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.sampled_from(["\x00", "\ud800", "0001-01-01T00:00:00+14:00", str(JOB), 2**40]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
_BODIES = st.binary(max_size=60) | st.sampled_from(
    [b'{"message":{"type":"hang"}}', b'{"type":[]}', b"[" * 3000, b'{"message":{"type":"\\u0000"}}']
)

HOSTILE_MESSAGES = st.builds(
    Message,
    body=_BODIES,
    routing_key=st.text(max_size=20)
    | st.sampled_from(["attempt.1", "attempt.99999", "attempt.-1"]),
    message_id=st.none() | st.text() | st.sampled_from([str(JOB), "f" * 32]),
    type=st.none() | st.text() | st.sampled_from(["hang", "\x00", "\ud800"]),
    headers=st.dictionaries(st.sampled_from(_NAMES), _VALUES).map(
        lambda broken: ENVELOPE.headers() | broken
    )
    | st.dictionaries(st.text(), _VALUES),
)
