from uuid import UUID

from google.protobuf.message import Message

from services.metrics.reads.asked import Asked

LONGEST_REASON = 500


class ChangeAsked(Asked):
    """Reads the fields of a change request. `prefix` is the path to a message in the request."""

    def __init__(self, request: Message, prefix: str = "") -> None:
        super().__init__(request)
        self._prefix = prefix

    def refuse(self, field: str, what_is_wrong: str) -> None:
        super().refuse(f"{self._prefix}{field}", what_is_wrong)

    def job_id(self) -> UUID:
        """The placeholder matches no webhook; `accept` then refuses the request."""
        job_id = self.uuid("job_id")
        if job_id is None and not self.text("job_id"):
            self.refuse("job_id", "is required.")
        return job_id or UUID(int=0)

    def reason(self, *, required: bool) -> str:
        """The reason, stripped; empty if it is optional and missing."""
        reason = (self.text("reason") or "").strip()
        if required and not reason:
            self.refuse("reason", "is required.")
        if len(reason) > LONGEST_REASON:
            self.refuse("reason", f"is longer than {LONGEST_REASON} characters.")
        return reason
