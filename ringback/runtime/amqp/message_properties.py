"""The message properties of a webhook, encoded for AMQP 0-9-1.

pamqp builds the same bytes with several calls and look-ups per field, which would be a tenth of the
gateway's work. A test compares the two.
"""

from struct import Struct

from ringback.contract.envelope import CONTENT_TYPE, Envelope, Header

_PERSISTENT = b"\x02"
_LENGTH = Struct(">I").pack
_SECONDS = Struct(">Q").pack


def _short(text: str) -> bytes:
    encoded = text.encode()
    return bytes((len(encoded),)) + encoded


def _long(text: str) -> bytes:
    encoded = text.encode()
    return _LENGTH(len(encoded)) + encoded


#: content_type, headers, delivery_mode, message_id, timestamp and type, in this order.
_FLAGS = Struct(">H").pack(1 << 15 | 1 << 13 | 1 << 12 | 1 << 7 | 1 << 6 | 1 << 5)
_FLAGS_AND_TYPE = _FLAGS + _short(CONTENT_TYPE)
_HEADER_NAMES = {name.value: _short(name) + b"S" for name in Header}
"""Each header's name, and the type of its value, which is a text."""


def encode_properties(envelope: Envelope) -> bytes:
    """Encode the properties. Raises ValueError for a type of more than 255 bytes in UTF-8."""
    headers = b"".join(
        [_HEADER_NAMES[name] + _long(value) for name, value in sorted(envelope.headers().items())]
    )
    return b"".join(
        (
            _FLAGS_AND_TYPE,
            _LENGTH(len(headers)),
            headers,
            _PERSISTENT,
            _short(str(envelope.job_id)),
            _SECONDS(int(envelope.received_at.timestamp())),
            _short(envelope.event_type),
        )
    )
