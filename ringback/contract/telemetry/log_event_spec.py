from collections.abc import Sequence
from typing import Self

from ringback.contract.telemetry.service_name import Service


class LogEventSpec(str):  # ruff: ignore[subclass-builtin]  # the logger and JSON take a text as it is
    """The name of a kind of log line; as a text it is the name in the line.

    `fields` are all fields that such a line may have beside those of every line.
    """

    __slots__ = ("fields", "services", "tells")
    fields: tuple[str, ...]
    services: tuple[Service, ...]
    tells: str

    def __new__(
        cls, name: str, tells: str, *, services: Sequence[Service], fields: Sequence[str] = ()
    ) -> Self:
        self = super().__new__(cls, name)
        self.tells = tells
        self.services = tuple(services)
        self.fields = tuple(fields)
        return self
