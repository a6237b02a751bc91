"""The processes and their dependencies."""

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.page import page
from deploy.grafana.panel import (
    BYTES,
    COUNT,
    PER_MINUTE,
    PER_SECOND,
    RATIO,
    SECONDS,
    Curves,
    Figure,
    Limit,
    Rows,
)
from deploy.grafana.query import (
    OF_NAMESPACE,
    OURS,
    WINDOW,
    PromQuery,
    SqlQuery,
    per_minute,
    quantile,
    quantiles,
    rate,
    read,
    total,
)
from ringback.contract.telemetry import Metric

_CONSUMED = 'queue=~"webhooks.work|webhooks.bulk|webhooks.due|webhooks.quarantine|webhooks.dlq"'
_USED = 'state="used"'
_RABBITMQ_MEMORY = "rabbitmq_process_resident_memory_bytes"


_LINKS: Final = (
    Figure(
        title="Broker connections",
        runbook="RingbackBrokerDisconnected",
        description="Whether every process is connected to the broker.",
        unit=COUNT,
        queries=(PromQuery(read(Metric.BROKER_CONNECTED, of="min")),),
        width=6,
        height=4,
        value_texts={"0": ("down", "red"), "1": ("up", "green")},
    ),
    Figure(
        title="Broker breaker",
        runbook="RingbackBreakerOpen",
        description="Open while a gateway spools webhooks without trying the broker first.",
        unit=COUNT,
        queries=(PromQuery(read(Metric.BREAKER_OPEN)),),
        width=6,
        height=4,
        value_texts={"0": ("closed", "green"), "1": ("open", "red")},
    ),
    Figure(
        title="Spooled",
        runbook="RingbackSpoolNotDraining",
        description="Webhooks that wait for the broker on the gateways' own disks.",
        unit=COUNT,
        queries=(PromQuery(total(Metric.SPOOL_MESSAGES)),),
        width=6,
        height=4,
        limit=Limit.good_up_to(1),
    ),
    Figure(
        title="Partitions ahead",
        runbook="RingbackPartitionMissing",
        description="Partitions of the log for the next days. Without tomorrow's, no webhook can "
        "be recorded after midnight UTC.",
        unit=COUNT,
        queries=(PromQuery(read(Metric.PARTITIONS_AHEAD)),),
        width=6,
        height=4,
        limit=Limit.good_from(1),
    ),
)

_PROCESSES: Final = (
    Curves(
        title="Processes that answer",
        runbook="RingbackNoData",
        description="Processes of each service whose metrics Prometheus can read.",
        unit=COUNT,
        queries=(PromQuery(f"sum by (job) (up{{{OURS}}})", "{{job}}"),),
        width=6,
    ),
    Curves(
        title="Processor time",
        description="Use by each service, as a share of one core. A process uses one core at most.",
        unit=RATIO,
        queries=(
            PromQuery(
                f"sum by (job) (rate(process_cpu_seconds_total{{{OURS}}}[{WINDOW}]))", "{{job}}"
            ),
        ),
        width=6,
    ),
    Curves(
        title="Memory",
        description="Memory of the largest process of each service.",
        unit=BYTES,
        queries=(PromQuery(f"max by (job) (process_resident_memory_bytes{{{OURS}}})", "{{job}}"),),
        width=6,
    ),
    Rows(
        title="Builds",
        description="The version that each service runs.",
        unit=COUNT,
        queries=(
            PromQuery(read(Metric.BUILD_INFO, by="service, version", of="count"), instant=True),
        ),
        width=6,
    ),
)

_BROKER: Final = (
    Curves(
        title="Time to the broker's confirm",
        description="From a publish to its confirm, or to its failure. The points are traces.",
        unit=SECONDS,
        queries=quantiles(Metric.PUBLISH_SECONDS, 0.5, 0.99),
        width=6,
    ),
    Curves(
        title="Unacknowledged",
        description="Messages that processors have not answered yet, by the broker's count. Needs "
        "RINGBACK_RABBITMQ_MANAGEMENT_URL.",
        unit=COUNT,
        queries=(PromQuery(read(Metric.QUEUE_UNACKED, by="queue", where=_CONSUMED), "{{queue}}"),),
        width=6,
    ),
    Curves(
        title="Memory of RabbitMQ",
        description="Memory of each node, by its own exporter. Near its limit, a node blocks "
        "publishers.",
        unit=BYTES,
        queries=(
            PromQuery(f"max by (instance) ({_RABBITMQ_MEMORY}{{{OF_NAMESPACE}}})", "{{instance}}"),
        ),
        width=6,
    ),
    Curves(
        title="Disk of RabbitMQ",
        description="Free space on the disk of each node. Below its limit, a node blocks "
        "publishers.",
        unit=BYTES,
        queries=(
            PromQuery(
                f"min by (instance) (rabbitmq_disk_space_available_bytes{{{OF_NAMESPACE}}})",
                "{{instance}}",
            ),
        ),
        width=6,
    ),
)

_DATABASE: Final = (
    Curves(
        title="Connections in use",
        description="Connections of each service's pool, as a share of the pool's maximum.",
        unit=RATIO,
        queries=(
            PromQuery(
                f"{total(Metric.POOL_CONNECTIONS, by='job', where=_USED)}"
                f" / {total(Metric.POOL_MAX_CONNECTIONS, by='job')}",
                "{{job}}",
            ),
        ),
        maximum=1,
    ),
    Curves(
        title="Wait for a connection",
        description="The time to get a connection from the pool: 95 of 100 waits are shorter.",
        unit=SECONDS,
        queries=(PromQuery(quantile(0.95, Metric.POOL_WAIT_SECONDS, by="job"), "{{job}}"),),
    ),
    Curves(
        title="Pending rows",
        description="Rows that gateways wrote before the processor, per second. The processor "
        "writes dropped ones.",
        unit=PER_SECOND,
        queries=(PromQuery(rate(Metric.PENDING_ROWS, by="outcome"), "{{outcome}}"),),
    ),
    Rows(
        title="PostgreSQL",
        description="The server's own statistics of the database.",
        unit=COUNT,
        queries=(SqlQuery("server.sql"),),
        width=24,
        height=4,
    ),
)

_QUESTIONS: Final = (
    Figure(
        title="Backends left alone",
        runbook="RingbackQuestionBreakerOpen",
        description="Types of questions that get the fallback, because their backend kept failing.",
        unit=COUNT,
        queries=(PromQuery(f"{total(Metric.QUESTION_BREAKER_OPEN)} or vector(0)"),),
        width=6,
        limit=Limit.good_up_to(1),
    ),
    Curves(
        title="Questions by answer",
        description="Questions of live calls per second: answered by the backend, repeated, or why "
        "Vapi got the fallback.",
        unit=PER_SECOND,
        queries=(PromQuery(f"{rate(Metric.QUESTIONS, by='outcome')} > 0", "{{outcome}}"),),
        width=6,
    ),
    Curves(
        title="Time to the answer",
        description="From a question to its answer, by type: 99 of 100 are faster. Vapi waits "
        "7.5 s for an assistant-request.",
        unit=SECONDS,
        queries=(
            PromQuery(
                f"{quantile(0.99, Metric.QUESTION_SECONDS, by='event_type')} > 0", "{{event_type}}"
            ),
        ),
        width=6,
    ),
    Curves(
        title="Mistakes in answers",
        description="Answers that were passed on although Vapi will not understand them.",
        unit=PER_MINUTE,
        queries=(PromQuery(per_minute(Metric.ANSWER_MISTAKES, by="mistake"), "{{mistake}}"),),
        width=6,
    ),
)

_CALLS: Final = (
    Curves(
        title="Calls by outcome",
        description="Calls to the metrics API that ended, by gRPC and REST, per outcome.",
        unit=PER_SECOND,
        queries=(PromQuery(f"{rate(Metric.RPC_CALLS, by='code')} > 0", "{{code}}"),),
    ),
    Curves(
        title="Time of a call",
        description="From a call to its answer, by transport: 95 of 100 are faster.",
        unit=SECONDS,
        queries=(PromQuery(quantile(0.95, Metric.RPC_SECONDS, by="transport"), "{{transport}}"),),
    ),
    Curves(
        title="Messages to Slack",
        runbook="RingbackSlackDrops",
        description="Messages sent, failed or dropped, per minute.",
        unit=PER_MINUTE,
        queries=(PromQuery(per_minute(Metric.SLACK_MESSAGES, by="outcome"), "{{outcome}}"),),
    ),
)


def runtime() -> Dashboard:
    return page(
        "ringback-runtime",
        "Runtime",
        "The processes of the three services, and their broker and database.",
        {
            "Connections": _LINKS,
            "Processes": _PROCESSES,
            "Broker": _BROKER,
            "Database": _DATABASE,
            "Questions": _QUESTIONS,
            "The metrics service": _CALLS,
        },
    )
