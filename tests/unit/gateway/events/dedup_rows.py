"""For each type, a message and changes that make it another event."""

from typing import Any

CALL = {"id": "call-1", "orgId": "o", "status": "ringing"}
CALL_AT_1 = {"call": CALL, "timestamp": 1}
OTHER_CALL = {"call": {"id": "2"}}
AT_2 = {"timestamp": 2}


def tool_call(
    call_id: str = "call_0", name: str = "check_availability", day: str = "Monday"
) -> dict[str, Any]:
    """A tool call as models write it: many use the id `call_0` in every turn."""
    function = {"name": name, "arguments": {"day": day}}
    return {"id": call_id, "type": "function", "function": function}


ROWS: list[tuple[str, dict[str, Any], list[dict[str, Any]]]] = [
    ("assistant-request", {"call": CALL}, [OTHER_CALL]),
    ("assistant.speechStarted",
     CALL_AT_1 | {"turn": 1, "source": "model", "text": "Hi", "timing": {"wordsSpoken": 3}},
     [{"turn": 2}, {"source": "x"}, {"text": "Ho"}, {"timing": {"wordsSpoken": 4}}, AT_2]),
    ("assistant.started", CALL_AT_1 | {"newAssistant": {"name": "Riley"}},
     [AT_2, {"newAssistant": {"name": "Sam"}}]),
    ("call.artifact.upload", CALL_AT_1 | {"artifacts": [{"type": "log", "success": True}]},
     [{"artifacts": [{"type": "log", "success": False}]}, {"artifacts": [{"type": "pcap"}]}, AT_2]),
    ("call.delete.failed", CALL_AT_1, [AT_2]),
    ("call.deleted", {"call": CALL}, [OTHER_CALL]),
    ("campaign.predial", {"campaignId": "c", "contact": {"id": "k"}, "timestamp": 1},
     [{"campaignId": "d"}, {"contact": {"id": "l"}}, AT_2]),
    ("chat.created", {"chat": {"id": "c"}}, [{"chat": {"id": "d"}}]),
    ("chat.deleted", {"chat": {"id": "c"}}, [{"chat": {"id": "d"}}]),
    ("conversation-update",
     CALL_AT_1 | {"messagesOpenAIFormatted": [{"role": "user", "content": "a"}]},
     [{"messagesOpenAIFormatted": [{"role": "user", "content": "b"}]}, AT_2]),
    ("end-of-call-report", CALL_AT_1, [OTHER_CALL]),
    ("function-call", CALL_AT_1 | {"functionCall": {"name": "f", "parameters": {"a": 1}}},
     [{"functionCall": {"name": "g", "parameters": {"a": 1}}},
      {"functionCall": {"name": "f", "parameters": {"a": 2}}}, AT_2]),
    ("handoff-destination-request", CALL_AT_1 | {"parameters": {"to": "x"}},
     [AT_2, {"parameters": {"to": "y"}}]),
    ("hang", CALL_AT_1, [AT_2, OTHER_CALL]),
    ("knowledge-base-request", CALL_AT_1 | {"messages": [{"content": "a"}, {"content": "b"}]},
     [AT_2, {"messages": [{"content": "a"}, {"content": "c"}]}]),
    ("language-change-detected", CALL_AT_1 | {"language": "de"}, [{"language": "fr"}, AT_2]),
    ("phone-call-control", CALL_AT_1 | {"request": "forward", "destination": {"number": "+1"}},
     [{"request": "hang-up"}, {"destination": {"number": "+2"}}, {"timestamp": 60_001}]),
    ("session.created", {"session": {"id": "s"}}, [{"session": {"id": "t"}}]),
    ("session.deleted", {"session": {"id": "s"}}, [{"session": {"id": "t"}}]),
    ("session.updated",
     {"session": {"id": "s", "updatedAt": "2026-01-01T00:00:00Z"}, "timestamp": 1},
     [{"session": {"id": "s", "updatedAt": "2026-01-01T00:00:01Z"}},
      {"session": {"id": "t", "updatedAt": "2026-01-01T00:00:00Z"}}, AT_2]),
    ("speech-update", CALL_AT_1 | {"turn": 1, "role": "user", "status": "started"},
     [{"turn": 2}, {"role": "assistant"}, {"status": "stopped"}, AT_2]),
    ("status-update", CALL_AT_1 | {"status": "forwarding"},
     [{"status": "in-progress"}, AT_2, OTHER_CALL]),
    ("tool-calls", CALL_AT_1 | {"toolCallList": [tool_call()]},
     [{"toolCallList": [tool_call("call_1")]},
      {"toolCallList": [tool_call(name="book_appointment")]},
      {"toolCallList": [tool_call(day="Friday")]},
      {"toolCallList": [tool_call(), tool_call("call_1")]},
      {"call": None, "chat": {"id": "chat-1"}}, {"timestamp": 9_001}, {"timestamp": None}]),
    ("transcript",
     CALL_AT_1 | {"role": "user", "transcriptType": "final", "transcript": "Hi."},
     [{"role": "bot"}, {"transcriptType": "partial"}, {"transcript": "Ho."}, AT_2]),
    ("transfer-destination-request", CALL_AT_1 | {"parameters": {"to": "x"}},
     [AT_2, {"parameters": {"to": "y"}}]),
    ("transfer-update", CALL_AT_1 | {"destination": {"number": "+1"}},
     [{"destination": {"number": "+2"}}, AT_2]),
    ("user-interrupted", CALL_AT_1 | {"turnId": "t"}, [{"turnId": "u"}, AT_2]),
]  # fmt: skip
