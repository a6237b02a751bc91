"""A real Prometheus asks real services, and judges by the rules."""

import json
import shutil
from pathlib import Path

import pytest

from ringback.local.broker import PrivateBroker
from ringback.local.ports import LocalPorts, ServicePorts
from tests.acceptance.whole import SERVICES, Whole
from tests.support.eventually import eventually
from tests.support.prometheus_process import RealPrometheus, real_prometheus

pytestmark = pytest.mark.skipif(
    not shutil.which("prometheus"), reason="Prometheus is not here: `make test` installs it"
)

SUCCESS = "sum(rate(webhook_completed_total[24h])) / sum(rate(webhook_total[24h])) * 100"
MEAN = "avg(webhook_processing_duration_seconds)"
DEAD = "webhook_dead_letter_queue_size"


def ports_of(whole: Whole, broker: PrivateBroker) -> LocalPorts:
    observability_ports = {
        f"{name}_observability": port for name, port in whole.observability_ports.items()
    }
    return LocalPorts(broker=broker.ports, services=ServicePorts(**observability_ports))


@pytest.mark.slow
async def test_rules_hold_beside_real_services(
    whole: Whole, broker: PrivateBroker, tmp_path: Path
) -> None:
    """Every rule is evaluated without an error, figures come out, and a lost service is noticed."""
    folder = tmp_path / "prometheus"
    folder.mkdir()
    async with real_prometheus(folder, ports_of(whole, broker)) as prometheus:
        await eventually(lambda: all_up(prometheus), deadline_s=20)
        done = await whole.accepted(demo())
        dead = await whole.accepted(demo(failForGood=True))
        assert await whole.settled([done, dead]) == ["completed", "dead_letter"]

        await eventually(lambda: figures_come_out(prometheus), deadline_s=30)
        await eventually(lambda: rules_are_sound(prometheus), deadline_s=30)
        quiet = await prometheus.firing()
        whole.processes["processor"].terminate()
        await eventually(lambda: no_data_of(prometheus, "processor"), deadline_s=30)

    assert not quiet


async def all_up(prometheus: RealPrometheus) -> bool:
    assert await prometheus.value("sum(up)") == len(SERVICES) + 1
    assert await prometheus.value('sum(webhook_completed_total{event_type="other"})') == 0
    assert await prometheus.value("sum(webhook_total)") == 0
    return True


async def figures_come_out(prometheus: RealPrometheus) -> bool:
    """The expressions of existing dashboards, unchanged."""
    success, mean = await prometheus.value(SUCCESS), await prometheus.value(MEAN)

    assert success == pytest.approx(50, abs=5)
    assert mean is not None
    assert mean > 0
    assert await prometheus.value(DEAD) == 1
    return True


async def rules_are_sound(prometheus: RealPrometheus) -> bool:
    rules = await prometheus.rules()

    assert rules
    assert {rule["name"] for rule in rules if rule["health"] != "ok"} == set()
    assert await prometheus.value("count(slo:period_error_budget_remaining:ratio)") == 2
    return True


async def no_data_of(prometheus: RealPrometheus, service: str) -> bool:
    firing = [one for one in await prometheus.firing() if one["alertname"] == "RingbackNoData"]
    return [one["job"] for one in firing] == [service]


def demo(**asked: object) -> bytes:
    return json.dumps({"message": {"type": "ringback.demo", **asked}}).encode()
