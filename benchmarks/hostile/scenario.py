"""Which attacks are tried, and how many attackers run at once."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scenario:
    """`attack` is a key of `attacks.ATTACKS`. A longer one waits for our timeouts."""

    attack: str
    connections: int
    seconds: float = 12.0


SCENARIOS = (
    Scenario("idle", 10_000),
    Scenario("slow-heads", 2_000),
    Scenario("large-heads", 1_000),
    Scenario("slow-bodies-of-strangers", 2_000),
    Scenario("slow-bodies", 2_000),
    Scenario("flood", 64),
    Scenario("large-bodies", 200),
    Scenario("brackets", 32),
    Scenario("bombs", 200),
)
