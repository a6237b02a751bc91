"""The thresholds that a panel draws."""

from dataclasses import dataclass
from typing import Self

from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.models.dashboard import Threshold, ThresholdsMode

GOOD = "green"
BAD = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Colours from a value upwards; the first has no lower end."""

    below: str
    value: float
    above: str

    @classmethod
    def good_up_to(cls, value: float) -> Self:
        return cls(below=GOOD, value=value, above=BAD)

    @classmethod
    def good_from(cls, value: float) -> Self:
        return cls(below=BAD, value=value, above=GOOD)

    def steps(self) -> ThresholdsConfig:
        return (
            ThresholdsConfig()
            .mode(ThresholdsMode.ABSOLUTE)
            .steps(
                [
                    Threshold(value=None, color=self.below),
                    Threshold(value=self.value, color=self.above),
                ]
            )
        )


def plain_steps() -> ThresholdsConfig:
    """A panel without a limit has a neutral colour."""
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps([Threshold(color="text")])
