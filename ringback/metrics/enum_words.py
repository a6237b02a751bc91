"""The values of an enum as short words: `DELIVERY_STATUS_DEAD_LETTER` is `dead_letter`."""

import re
from collections.abc import Mapping
from functools import cache

from google.protobuf.descriptor import EnumDescriptor

_BEFORE_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


@cache
def words_of(enum: EnumDescriptor) -> Mapping[int, str]:
    """The word of each number. The unspecified value has none."""
    prefix = f"{_BEFORE_CAPITAL.sub('_', enum.name).upper()}_"
    return {
        value.number: value.name.removeprefix(prefix).lower()
        for value in enum.values
        if value.number
    }


@cache
def numbers_of(enum: EnumDescriptor) -> Mapping[str, int]:
    """The number of each word, and of each name as the contract writes it."""
    words = words_of(enum)
    names = {enum.values_by_number[number].name: number for number in words}
    return {word: number for number, word in words.items()} | names
