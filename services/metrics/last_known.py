"""The last reading, for as long as it is fresh."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reading:
    value: float
    taken_at_s: float


@dataclass(slots=True)
class LastKnown:
    """The newest reading under each name. One older than `max_age_s` is no longer reported."""

    max_age_s: float
    _readings: dict[str, Reading] = field(default_factory=dict, init=False)

    def note(self, values: Mapping[str, float], now_s: float) -> None:
        self._readings |= {name: Reading(value, now_s) for name, value in values.items()}

    def tell(self, now_s: float) -> dict[str, float]:
        """The values that are fresh at `now_s`, a time of the same clock as in `note`."""
        return {
            name: reading.value
            for name, reading in self._readings.items()
            if now_s - reading.taken_at_s <= self.max_age_s
        }
