"""The processes and their dependencies."""

from collections.abc import Iterator

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from deploy.grafana.limit import Limit
from deploy.grafana.page import page
from deploy.grafana.panel import (
    BYTES,
    COUNT,
    PER_MINUTE,
    PER_SECOND,
    RATIO,
    SECONDS,
    Shown,
    curves,
    figure,
    rows,
)
from deploy.grafana.promql import WINDOW, added, per_minute, quantile, rate, read
from deploy.grafana.query import Ask, Select
from ringback.contract.telemetry import Metric

_OURS = 'job=~"gateway|processor|metrics"'
_CONSUMED = 'queue=~"webhooks.work|webhooks.quarantine|webhooks.dlq"'
_USED = 'state="used"'


def runtime() -> Dashboard:
    return page(
        "ringback-runtime",
        "Runtime",
        "The processes of the three services, and the broker and database they stand on.",
        {
            "Links": _links(),
            "Processes": _processes(),
            "Broker": _broker(),
            "Database": _database(),
            "The metrics service": _calls(),
        },
    )


def _links() -> Iterator[Builder[Panel]]:
    yield figure(
        Shown(
            title="Links to the broker",
            runbook="RingbackBrokerLinkDown",
            says="Whether every process is connected to the broker.",
            unit=COUNT,
            asks=(Ask(promql=f"min({Metric.BROKER_LINK_UP.name})"),),
            width=6,
            height=4,
            words={"0": ("down", "red"), "1": ("up", "green")},
        )
    )
    yield figure(
        Shown(
            title="Breaker",
            runbook="RingbackBreakerOpen",
            says="Open while a gateway spools webhooks without asking the broker first.",
            unit=COUNT,
            asks=(Ask(promql=read(Metric.BREAKER_OPEN)),),
            width=6,
            height=4,
            words={"0": ("closed", "green"), "1": ("open", "red")},
        )
    )
    yield figure(
        Shown(
            title="Spooled",
            runbook="RingbackSpoolNotDraining",
            says="Webhooks that wait on the gateways' own disks for the broker.",
            unit=COUNT,
            asks=(Ask(promql=added(Metric.SPOOL_MESSAGES)),),
            width=6,
            height=4,
            limit=Limit.good_up_to(1),
        )
    )
    yield figure(
        Shown(
            title="Days made ahead",
            runbook="RingbackPartitionMissing",
            says="Partitions of the log for the days to come. Without one for tomorrow no webhook "
            "can be recorded from midnight UTC.",
            unit=COUNT,
            asks=(Ask(promql=read(Metric.PARTITIONS_AHEAD)),),
            width=6,
            height=4,
            limit=Limit.good_from(1),
        )
    )


def _processes() -> Iterator[Builder[Panel]]:
    yield curves(
        Shown(
            title="Processes that answer",
            runbook="RingbackNoData",
            says="Processes of each service whose metrics Prometheus can read.",
            unit=COUNT,
            asks=(Ask(promql=f"sum by (job) (up{{{_OURS}}})", legend="{{job}}"),),
            width=6,
        )
    )
    yield curves(
        Shown(
            title="Processor time",
            says="Of each service, as a share of one core. One process cannot use more than one.",
            unit=RATIO,
            asks=(
                Ask(
                    promql=f"sum by (job) (rate(process_cpu_seconds_total{{{_OURS}}}[{WINDOW}]))",
                    legend="{{job}}",
                ),
            ),
            width=6,
        )
    )
    yield curves(
        Shown(
            title="Memory",
            says="What the largest process of each service holds.",
            unit=BYTES,
            asks=(
                Ask(
                    promql=f"max by (job) (process_resident_memory_bytes{{{_OURS}}})",
                    legend="{{job}}",
                ),
            ),
            width=6,
        )
    )
    yield rows(
        Shown(
            title="Builds",
            says="Which version runs as which service.",
            unit=COUNT,
            asks=(
                Ask(promql=f"count by (service, version) ({Metric.BUILD_INFO.name})", instant=True),
            ),
            width=6,
        )
    )


def _broker() -> Iterator[Builder[Panel]]:
    yield curves(
        Shown(
            title="Time to the broker's confirm",
            says="From a publish to its confirm, or to its failure. The points are traces.",
            unit=SECONDS,
            asks=tuple(
                Ask(promql=quantile(share, Metric.PUBLISH_SECONDS), legend=name, exemplars=True)
                for share, name in ((0.5, "half"), (0.99, "99 %"))
            ),
            width=6,
        )
    )
    yield curves(
        Shown(
            title="Unacknowledged",
            says="Messages in the hands of processors, as the broker counts them; where the "
            "metrics service knows the management API.",
            unit=COUNT,
            asks=(
                Ask(
                    promql=read(Metric.QUEUE_UNACKED, by="queue", where=_CONSUMED),
                    legend="{{queue}}",
                ),
            ),
            width=6,
        )
    )
    yield curves(
        Shown(
            title="Memory of RabbitMQ",
            says="What each node holds, as its own exporter says. Near its limit it takes no more.",
            unit=BYTES,
            asks=(
                Ask(
                    promql="max by (instance) (rabbitmq_process_resident_memory_bytes)",
                    legend="{{instance}}",
                ),
            ),
            width=6,
        )
    )
    yield curves(
        Shown(
            title="Disk of RabbitMQ",
            says="What is left on the disk of each node. Below its limit it takes no more.",
            unit=BYTES,
            asks=(
                Ask(
                    promql="min by (instance) (rabbitmq_disk_space_available_bytes)",
                    legend="{{instance}}",
                ),
            ),
            width=6,
        )
    )


def _database() -> Iterator[Builder[Panel]]:
    yield curves(
        Shown(
            title="Connections in use",
            says="Of the pool of each service, as a share of the most it may have.",
            unit=RATIO,
            asks=(
                Ask(
                    promql=f"{added(Metric.POOL_CONNECTIONS, by='job', where=_USED)}"
                    f" / {added(Metric.POOL_MAX_CONNECTIONS, by='job')}",
                    legend="{{job}}",
                ),
            ),
            width=8,
            most=1,
        )
    )
    yield curves(
        Shown(
            title="Wait for a connection",
            says="From asking a pool for a connection to having it: 95 of 100 waits are shorter.",
            unit=SECONDS,
            asks=(
                Ask(promql=quantile(0.95, Metric.POOL_WAIT_SECONDS, by="job"), legend="{{job}}"),
            ),
            width=8,
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
    yield rows(
        Shown(
            title="PostgreSQL",
            says="The database as the server sees it.",
            unit=COUNT,
            asks=(Select("server.sql"),),
            width=24,
            height=4,
        )
    )


def _calls() -> Iterator[Builder[Panel]]:
    yield curves(
        Shown(
            title="Calls by outcome",
            says="Calls to the metrics API that ended, over gRPC and REST; the outcomes that came.",
            unit=PER_SECOND,
            asks=(Ask(promql=f"{rate(Metric.RPC_CALLS, by='code')} > 0", legend="{{code}}"),),
            width=8,
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
            width=8,
        )
    )
    yield curves(
        Shown(
            title="Messages to Slack",
            runbook="RingbackSlackDrops",
            says="Sent, tried in vain, or dropped, per minute.",
            unit=PER_MINUTE,
            asks=(
                Ask(promql=per_minute(Metric.SLACK_MESSAGES, by="outcome"), legend="{{outcome}}"),
            ),
            width=8,
        )
    )
