"""For each type, a message and changes that make it another event."""

from typing import Any

CALL = {"id": "call-1", "orgId": "o", "status": "ringing"}


def tool_call(
    call_id: str = "call_0", name: str = "check_availability", day: str = "Monday"
) -> dict[str, Any]:
    """A tool call as models write it: many use the id `call_0` in every turn."""
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": {"day": day}},
    }


ROWS: list[tuple[str, dict[str, Any], list[dict[str, Any]]]] = [
    ("assistant-request", {"call": CALL}, [{"call": {"id": "2"}}]),
    (
        "assistant.speechStarted",
        {
            "call": CALL,
            "turn": 1,
            "source": "model",
            "text": "Hi",
            "timing": {"wordsSpoken": 3},
            "timestamp": 1,
        },
        [
            {"turn": 2},
            {"source": "x"},
            {"text": "Ho"},
            {"timing": {"wordsSpoken": 4}},
            {"timestamp": 2},
        ],
    ),
    (
        "assistant.started",
        {"call": CALL, "timestamp": 1, "newAssistant": {"name": "Riley"}},
        [{"timestamp": 2}, {"newAssistant": {"name": "Sam"}}],
    ),
    (
        "call.artifact.upload",
        {"call": CALL, "artifacts": [{"type": "log", "success": True}], "timestamp": 1},
        [
            {"artifacts": [{"type": "log", "success": False}]},
            {"artifacts": [{"type": "pcap"}]},
            {"timestamp": 2},
        ],
    ),
    ("call.delete.failed", {"call": CALL, "timestamp": 1}, [{"timestamp": 2}]),
    ("call.deleted", {"call": CALL}, [{"call": {"id": "2"}}]),
    (
        "campaign.predial",
        {"campaignId": "c", "contact": {"id": "k"}, "timestamp": 1},
        [{"campaignId": "d"}, {"contact": {"id": "l"}}, {"timestamp": 2}],
    ),
    ("chat.created", {"chat": {"id": "c"}}, [{"chat": {"id": "d"}}]),
    ("chat.deleted", {"chat": {"id": "c"}}, [{"chat": {"id": "d"}}]),
    (
        "conversation-update",
        {
            "call": CALL,
            "messagesOpenAIFormatted": [{"role": "user", "content": "a"}],
            "timestamp": 1,
        },
        [{"messagesOpenAIFormatted": [{"role": "user", "content": "b"}]}, {"timestamp": 2}],
    ),
    ("end-of-call-report", {"call": CALL, "timestamp": 1}, [{"call": {"id": "2"}}]),
    (
        "function-call",
        {"call": CALL, "functionCall": {"name": "f", "parameters": {"a": 1}}, "timestamp": 1},
        [
            {"functionCall": {"name": "g", "parameters": {"a": 1}}},
            {"functionCall": {"name": "f", "parameters": {"a": 2}}},
            {"timestamp": 2},
        ],
    ),
    (
        "handoff-destination-request",
        {"call": CALL, "timestamp": 1, "parameters": {"to": "x"}},
        [{"timestamp": 2}, {"parameters": {"to": "y"}}],
    ),
    ("hang", {"call": CALL, "timestamp": 1}, [{"timestamp": 2}, {"call": {"id": "2"}}]),
    (
        "knowledge-base-request",
        {"call": CALL, "timestamp": 1, "messages": [{"content": "a"}, {"content": "b"}]},
        [{"timestamp": 2}, {"messages": [{"content": "a"}, {"content": "c"}]}],
    ),
    (
        "language-change-detected",
        {"call": CALL, "timestamp": 1, "language": "de"},
        [{"language": "fr"}, {"timestamp": 2}],
    ),
    (
        "phone-call-control",
        {"call": CALL, "request": "forward", "destination": {"number": "+1"}, "timestamp": 1},
        [{"request": "hang-up"}, {"destination": {"number": "+2"}}, {"timestamp": 60_001}],
    ),
    ("session.created", {"session": {"id": "s"}}, [{"session": {"id": "t"}}]),
    ("session.deleted", {"session": {"id": "s"}}, [{"session": {"id": "t"}}]),
    (
        "session.updated",
        {"session": {"id": "s", "updatedAt": "2026-01-01T00:00:00Z"}, "timestamp": 1},
        [
            {"session": {"id": "s", "updatedAt": "2026-01-01T00:00:01Z"}},
            {"session": {"id": "t", "updatedAt": "2026-01-01T00:00:00Z"}},
            {"timestamp": 2},
        ],
    ),
    (
        "speech-update",
        {"call": CALL, "turn": 1, "role": "user", "status": "started", "timestamp": 1},
        [{"turn": 2}, {"role": "assistant"}, {"status": "stopped"}, {"timestamp": 2}],
    ),
    (
        "status-update",
        {"call": CALL, "status": "forwarding", "timestamp": 1},
        [{"status": "in-progress"}, {"timestamp": 2}, {"call": {"id": "2"}}],
    ),
    (
        "tool-calls",
        {"call": CALL, "toolCallList": [tool_call()], "timestamp": 1},
        [
            {"toolCallList": [tool_call("call_1")]},
            {"toolCallList": [tool_call(name="book_appointment")]},
            {"toolCallList": [tool_call(day="Friday")]},
            {"toolCallList": [tool_call(), tool_call("call_1")]},
            {"call": None, "chat": {"id": "chat-1"}},
            {"timestamp": 9_001},
            {"timestamp": None},
        ],
    ),
    (
        "transcript",
        {
            "call": CALL,
            "role": "user",
            "transcriptType": "final",
            "transcript": "Hi.",
            "timestamp": 1,
        },
        [{"role": "bot"}, {"transcriptType": "partial"}, {"transcript": "Ho."}, {"timestamp": 2}],
    ),
    (
        "transfer-destination-request",
        {"call": CALL, "timestamp": 1, "parameters": {"to": "x"}},
        [{"timestamp": 2}, {"parameters": {"to": "y"}}],
    ),
    (
        "transfer-update",
        {"call": CALL, "timestamp": 1, "destination": {"number": "+1"}},
        [{"destination": {"number": "+2"}}, {"timestamp": 2}],
    ),
    (
        "user-interrupted",
        {"call": CALL, "turnId": "t", "timestamp": 1},
        [{"turnId": "u"}, {"timestamp": 2}],
    ),
]
