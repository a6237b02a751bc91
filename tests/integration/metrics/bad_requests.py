"""Requests that each transport refuses, by the code of the error."""

from typing import Any
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from ringback.contract.identity import new_job_id
from ringback.metrics.v1 import admin_service_pb2 as admin

NOWHERE = str(new_job_id())
SECOND = Timestamp(seconds=2)
CRM = admin.WaitingFilter(destination="crm")

BAD_REQUESTS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "PERMISSION_DENIED": [
        ("GetQueueHealth", {}),
        ("WatchQueueHealth", {}),
        ("PauseProcessing", {"reason": "x"}),
        ("ResumeProcessing", {}),
        ("ListDestinations", {}),
        ("SetDestination", {"name": "shop", "reason": "x"}),
    ],
    "NOT_FOUND": [
        ("GetDelivery", {"job_id": NOWHERE}),
        ("GetDelivery", {"job_id": str(UUID(int=2**128 - 1))}),
        ("RetryDelivery", {"job_id": NOWHERE}),
        ("DiscardDeadLetter", {"job_id": NOWHERE, "reason": "x"}),
        ("RunDuplicate", {"job_id": NOWHERE, "reason": "x"}),
        ("ReleaseWaiting", {"job_id": NOWHERE, "reason": "x"}),
        ("CancelWaiting", {"job_id": NOWHERE, "reason": "x"}),
        ("GetRetryRun", {"run_id": NOWHERE}),
        ("PauseRetryRun", {"run_id": NOWHERE}),
        ("ResumeRetryRun", {"run_id": NOWHERE}),
        ("StopRetryRun", {"run_id": NOWHERE}),
    ],
    "INVALID_ARGUMENT": [
        ("GetDelivery", {"job_id": "nonsense"}),
        *(
            (name, {"job_id": NOWHERE, "reason": reason})
            for name in ("DiscardDeadLetter", "RunDuplicate")
            for reason in ("", "  ", "x" * 501)
        ),
        ("GetDeliveryStats", {"range": "31d"}),
        ("ListRecentFailures", {"limit": -1}),
        ("ListDeadLetters", {"page_token": "nonsense"}),
        ("ListDeliveries", {"org_id": "nobody"}),
        ("ListDeliveries", {"run_id": "nonsense"}),
        ("ListDeliveries", {"start_time": SECOND, "end_time": SECOND}),
        ("ListFailureGroups", {"page_token": "\0", "org_id": "nobody"}),
        ("ListDeliveries", {"job_id_prefix": "01%_"}),
        ("ListWaiting", {"page_token": "nonsense"}),
        ("ListChanges", {"page_token": "nonsense"}),
        ("ListChanges", {"job_id": "1"}),
        ("ListChanges", {"start_time": SECOND, "end_time": SECOND}),
        ("ReleaseWaiting", {"reason": "x"}),
        ("ReleaseWaiting", {"job_id": NOWHERE, "reason": " "}),
        ("ReleaseWaiting", {"job_id": "nonsense", "reason": "x"}),
        ("CancelWaiting", {"job_id": NOWHERE, "reason": "x", "filter": CRM}),
        ("CancelWaiting", {"reason": "x", "filter": admin.WaitingFilter(org_id="nobody")}),
        ("CancelWaiting", {"reason": "x", "filter": admin.WaitingFilter(), "limit": -1}),
        ("RetryDeliveries", {"dry_run": True}),
        ("RetryDeliveries", {"reason": "x", "limit": -1}),
        ("RetryDeliveries", {"reason": "x", "filter": admin.DeadLetterFilter(org_id="nobody")}),
        ("CreateRetryRun", {"reason": "x", "include_replays": True}),
        ("ListRetryRuns", {"page_token": "nonsense"}),
        ("StopRetryRun", {"run_id": "nonsense"}),
        ("RetryDelivery", {"job_id": "no uuid", "request_id": "no uuid"}),
    ],
}
