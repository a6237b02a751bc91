from ringback.contract.trace_context import TraceContext


class Exemplars:
    """Ties samples to traces: an exemplar names one trace in which the sample was taken.

    Only a trace of which this process keeps a record is named. OpenMetrics alone shows exemplars.
    """

    def __init__(self, *, is_traced: bool) -> None:
        self._is_traced = is_traced

    def of(self, trace: TraceContext) -> dict[str, str] | None:
        """What prometheus-client takes with a sample."""
        return {"trace_id": trace.trace_id} if self._is_traced and trace.is_sampled else None
