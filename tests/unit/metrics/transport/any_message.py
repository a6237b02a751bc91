"""Messages of the contract, as chance makes them."""

import datetime as dt
from typing import Any

import orjson
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import strategies as st

from ringback.metrics.message_field import descriptor_of, is_time, map_value
from ringback.metrics.v1.annotations_pb2 import json_text

_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
}
_OTHERS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats(allow_nan=False, allow_infinity=False),
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_STRING: st.text(max_size=20),
}
#: An event is an object; null would mean that there is no event.
_DOCUMENTS = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=5,
    ),
    max_size=2,
).map(lambda value: orjson.dumps(value).decode())
_SECONDS = st.integers(
    int(dt.datetime(1, 1, 1, tzinfo=dt.UTC).timestamp()),
    int(dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC).timestamp()),
)
_TIMES = st.builds(Timestamp, seconds=_SECONDS, nanos=st.integers(0, 999_999_999))


@st.composite
def messages(draw: st.DrawFn, kind: type[Message]) -> Any:
    """Any message of the kind, with any of its fields absent."""
    message = kind()
    fill(draw, message)
    return message


def fill(draw: st.DrawFn, message: Message) -> None:
    for field in descriptor_of(message).fields:
        if draw(st.booleans()):
            _fill_field(draw, message, field)


def _fill_field(draw: st.DrawFn, message: Message, field: FieldDescriptor) -> None:
    of_map = map_value(field)
    if of_map is not None:
        members = getattr(message, field.name)
        for key in draw(st.sets(st.text(max_size=5), max_size=2)):
            fill(draw, members[key])
    elif field.message_type is not None and not is_time(field):
        part = getattr(message, field.name)
        if field.is_repeated:
            for _ in range(draw(st.integers(0, 2))):
                fill(draw, part.add())
        else:
            part.SetInParent()
            fill(draw, part)
    elif field.is_repeated:
        getattr(message, field.name).extend(draw(st.lists(_values(field), max_size=2)))
    elif is_time(field):
        getattr(message, field.name).CopyFrom(draw(_TIMES))
    else:
        setattr(message, field.name, draw(_values(field)))


def _values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    if field.GetOptions().Extensions[json_text]:
        return _DOCUMENTS
    return {**_INTEGERS, **_OTHERS}[field.cpp_type]
