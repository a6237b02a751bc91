"""The metrics and log lines of questions, which the gateway relays."""

from typing import Final

from ringback.contract.telemetry.spec import GATEWAY, QUESTION_TYPES, Open

ANSWERED: Final = "answered"
REPEATED: Final = "repeated"
BAD_STATUS: Final = "bad_status"
NOT_JSON: Final = "not_json"
INTERNAL_ERROR: Final = "internal_error"
STOPPING: Final = "stopping"

QUESTION_OUTCOMES: Final = (
    ANSWERED,
    REPEATED,
    # The backend gave no answer, so Vapi got the fallback.
    BAD_STATUS,
    NOT_JSON,
    INTERNAL_ERROR,
    STOPPING,
    "address_not_allowed",
    "breaker_open",
    "busy",
    "connection_lost",
    "not_connected",
    "not_http",
    "timeout",
    "too_large",
)

_QUESTION_LABELS: Final = tuple(sorted(QUESTION_TYPES))


class QuestionMetric:
    QUESTIONS: Final = GATEWAY.counter(
        "webhook_questions_total",
        "Questions by their answer: the backend's (answered), an earlier one (repeated), or "
        "for any other reason the fallback.",
        event_type=_QUESTION_LABELS,
        outcome=QUESTION_OUTCOMES,
    )
    QUESTION_SECONDS: Final = GATEWAY.histogram(
        "webhook_question_duration_seconds",
        "Seconds from a question until its answer, including the backend's time.",
        buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 6.5, 7.5, 10, 15),
        event_type=_QUESTION_LABELS,
    )
    ANSWER_MISTAKES: Final = GATEWAY.counter(
        "webhook_answer_mistakes_total",
        "Answers that were passed on although Vapi will not understand them.",
        event_type=_QUESTION_LABELS,
        mistake=(
            "empty",
            "missing",
            "not_200",
            "not_one_line",
            "too_long",
            "wrong_ids",
            "wrong_type",
        ),
    )
    QUESTION_BREAKER_OPEN: Final = GATEWAY.gauge(
        "webhook_question_breaker_open",
        "1 while the next question would get the fallback at once, because its backend kept "
        "failing.",
        endpoint_id=Open("The endpoints that declare questions."),
        event_type=_QUESTION_LABELS,
    )
    ANSWER_PROCESS_RESTARTS: Final = GATEWAY.counter(
        "webhook_answer_process_restarts_total",
        "Restarts of the process of RINGBACK_ANSWERS, because it ended or its functions hung.",
    )
    QUESTION_ROWS: Final = GATEWAY.counter(
        "webhook_question_rows_total",
        "Rows of answered questions for the database.",
        outcome=("written", "dropped"),
    )


class QuestionLogEvent:
    QUESTION_ANSWERED: Final = GATEWAY.log(
        "question.answered",
        "Vapi got an answer: the backend's, or the fallback if `outcome` is neither `answered` nor "
        "`repeated`. `mistakes` are what Vapi will not understand in it.",
        fields="job_id org_id endpoint_id event_type call_id dedup_key outcome status "
        "backend_status mistakes size_bytes answer_bytes duration_ms trace_id span_id",
    )
    QUESTION_ROWS_STUCK: Final = GATEWAY.log(
        "question_rows.stuck",
        "Answered questions cannot be written to the database; one line per outage.",
        fields="reason",
    )
    QUESTION_ROWS_RECOVERED: Final = GATEWAY.log(
        "question_rows.recovered", "Answered questions can be written again."
    )
    ANSWER_FUNCTION_FAILED: Final = GATEWAY.log(
        "answers.function_failed",
        "A function with `@answers` raised, or returned what is no answer, so Vapi got the "
        "fallback. `stack` has files, lines and functions, but no text of the error.",
        fields="question_id endpoint_id event_type error_class stack trace_id",
    )
    ANSWER_PROCESS_STARTED: Final = GATEWAY.log(
        "answers.process_started",
        "The process of the functions in `RINGBACK_ANSWERS` can answer.",
        fields="process_id event_types",
    )
    ANSWER_PROCESS_ENDED: Final = GATEWAY.log(
        "answers.process_ended",
        "The process of `RINGBACK_ANSWERS` ended, or was killed because its functions hung. "
        "Another one is started after `restart_after_s`.",
        fields="process_id reason restart_after_s",
    )
