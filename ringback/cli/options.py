"""Options that several commands have: their types, their limits, and their help."""

from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

OptionalText = Annotated[str, Parameter(show_default=False)]
Flag = Annotated[bool, Parameter(negative="", show_default=False)]


def text(help_text: str) -> Parameter:
    return Parameter(help=help_text, show_default=False)


Job = Annotated[str, text("The job id, or its beginning.")]
RunId = Annotated[str, text("The run id, or its beginning.")]
Reason = Annotated[str, text("The reason, for the audit log.")]
Org = Annotated[str, text("Only this organisation (a UUID).")]
EventType = Annotated[str, text("Only this type, such as end-of-call-report.")]
ErrorClass = Annotated[str, text("Only this error class, such as TimeoutError.")]
CallId = Annotated[str, text("Only this call.")]
Since = Annotated[
    str,
    text(
        "Only those that arrived after this time: 2026-01-27T06:30 (UTC), or 2h for two hours ago."
    ),
]
Until = Annotated[str, text("Only those that arrived before this time.")]
Limit = Annotated[
    int, Parameter(validator=Number(gte=1, lte=100), help="Maximum number, up to 100.")
]
RunLimit = Annotated[int, Parameter(validator=Number(gte=1, lte=100_000))]
RunRate = Annotated[float, Parameter(validator=Number(gt=0, lte=100))]
ListAll = Annotated[
    bool,
    Parameter(
        name="--all",
        negative="",
        show_default=False,
        help="List all; with --json, one document per line.",
    ),
]
Yes = Annotated[
    bool, Parameter(negative="", show_default=False, help="Do not ask for confirmation.")
]
