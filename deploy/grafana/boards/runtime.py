"""The processes, and what they stand on."""

from collections.abc import Iterator

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from deploy.grafana.limit import Limit
from deploy.grafana.page import page
from deploy.grafana.panel import (
    BYTES,
    COUNT,
    PER_SECOND,
    RATIO,
    SECONDS,
    Shown,
    curves,
    figure,
    rows,
)
from deploy.grafana.promql import WINDOW, added, quantile, rate, read
from deploy.grafana.query import Ask, Select
from ringback.contract.telemetry.metrics import Metric

_OURS = 'job=~"gateway|processor|metrics"'


def runtime() -> Dashboard:
    return page(
        "ringback-runtime",
        "Runtime",
        "The processes of the three services, and the broker and database they stand on.",
        {
            "Processes": _processes(),
            "Broker": _broker(),
            "Database": _database(),
            "Calls to the metrics service": _calls(),
        },
    )


def _processes() -> Iterator[Builder[Panel]]:
    yield curves(
        Shown(
            title="Processor time",
            says="Of one core. A service is one thread: at 100 % it is the limit.",
            unit=RATIO,
            asks=(
                Ask(
                    promql=f"max by (job) (rate(process_cpu_seconds_total{{{_OURS}}}[{WINDOW}]))",
                    legend="{{job}}",
                ),
            ),
            width=8,
        )
    )
    yield curves(
        Shown(
            title="Memory",
            says="Resident memory of the largest process of each service.",
            unit=BYTES,
            asks=(
                Ask(
                    promql=f"max by (job) (process_resident_memory_bytes{{{_OURS}}})",
                    legend="{{job}}",
                ),
            ),
            width=8,
        )
    )
    yield curves(
        Shown(
            title="Processes that answer",
            says="Processes of each service whose metrics Prometheus can read.",
            unit=COUNT,
            asks=(Ask(promql=f"sum by (job) (up{{{_OURS}}})", legend="{{job}}"),),
            width=8,
        )
    )


def _broker() -> Iterator[Builder[Panel]]:
    yield figure(
        Shown(
            title="Links to the broker",
            says="Whether every process that tells of its link is connected.",
            unit=COUNT,
            asks=(Ask(promql=f"min({Metric.BROKER_LINK_UP.name})"),),
            width=4,
            height=4,
            words={"0": ("down", "red"), "1": ("up", "green")},
        )
    )
    yield figure(
        Shown(
            title="Breaker",
            says="Open while a gateway spools webhooks without asking the broker first.",
            unit=COUNT,
            asks=(Ask(promql=read(Metric.BREAKER_OPEN)),),
            width=4,
            height=4,
            words={"0": ("closed", "green"), "1": ("open", "red")},
        )
    )
    yield figure(
        Shown(
            title="Spooled",
            says="Webhooks that wait on the gateways' own disks for the broker.",
            unit=COUNT,
            asks=(Ask(promql=added(Metric.SPOOL_MESSAGES)),),
            width=4,
            height=4,
            limit=Limit.good_up_to(1),
        )
    )
    yield curves(
        Shown(
            title="Time to the broker's confirm",
            says="From a publish to its confirm, or to its failure. The points are traces.",
            unit=SECONDS,
            asks=tuple(
                Ask(promql=quantile(share, Metric.PUBLISH_SECONDS), legend=name, exemplars=True)
                for share, name in ((0.5, "half"), (0.99, "99 %"))
            ),
            width=12,
        )
    )


def _database() -> Iterator[Builder[Panel]]:
    yield rows(
        Shown(
            title="PostgreSQL",
            says="The database as the server sees it.",
            unit=COUNT,
            asks=(Select("server.sql"),),
            width=12,
        )
    )
    yield figure(
        Shown(
            title="Days made ahead",
            says="Partitions of the log for the days to come. Without one for tomorrow no webhook "
            "can be recorded from midnight UTC.",
            unit=COUNT,
            asks=(Ask(promql=read(Metric.PARTITIONS_AHEAD)),),
            width=4,
            limit=Limit.good_from(1),
        )
    )
    yield curves(
        Shown(
            title="Pending rows",
            says="Rows that gateways wrote ahead of the processor, per second. Dropped ones are "
            "written by the processor.",
            unit=PER_SECOND,
            asks=(Ask(promql=rate(Metric.PENDING_ROWS, by="outcome"), legend="{{outcome}}"),),
            width=8,
        )
    )


def _calls() -> Iterator[Builder[Panel]]:
    yield curves(
        Shown(
            title="Calls by outcome",
            says="Calls to the metrics API that ended, over gRPC and REST.",
            unit=PER_SECOND,
            asks=(Ask(promql=rate(Metric.RPC_CALLS, by="code"), legend="{{code}}"),),
            width=12,
        )
    )
    yield curves(
        Shown(
            title="Time of a call",
            says="From a call to its answer, by protocol: 95 of 100 are faster.",
            unit=SECONDS,
            asks=(
                Ask(
                    promql=quantile(0.95, Metric.RPC_SECONDS, by="protocol"), legend="{{protocol}}"
                ),
            ),
            width=12,
        )
    )
