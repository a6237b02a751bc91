from ringback.contract.trace_context import TraceContext


class Exemplars:
    """Links samples to traces: an exemplar names one trace in which the sample was taken.

    Only traces that this process records are named. Only the OpenMetrics format shows exemplars.
    """

    def __init__(self, *, is_traced: bool) -> None:
        self._is_traced = is_traced

    def of(self, trace: TraceContext) -> dict[str, str] | None:
        """The exemplar argument for prometheus-client."""
        return {"trace_id": trace.trace_id} if self._is_traced and trace.is_sampled else None
