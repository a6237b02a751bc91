"""Typed views of the messages that Vapi documents: one class for each type of event.

    from ringback.vapi import EndOfCallReport

    report = EndOfCallReport(event.message)
    report.ended_reason       # str | None
    report.analysis.summary   # str | None: a part that is absent is an empty view
    report["costBreakdown"]   # a view is also the mapping itself, with every other field

The attributes of a view never raise. A field that is absent, or that has another type than
documented, is None; a list has only its elements of the documented type. Times may be ISO 8601 or
epoch numbers, as Vapi sends both.
"""

from collections.abc import Mapping
from typing import ClassVar

import orjson

from ringback.contract.event import value_at
from ringback.contract.json_view import (
    View,
    as_flag,
    as_number,
    as_objects,
    as_text,
    as_time,
    as_view,
    as_views,
)


class Customer(View):
    number = as_text("number")
    sip_uri = as_text("sipUri")
    name = as_text("name")
    email = as_text("email")
    extension = as_text("extension")
    external_id = as_text("externalId")


class PhoneNumber(View):
    id = as_text("id")
    number = as_text("number")
    name = as_text("name")
    assistant_id = as_text("assistantId")


class Assistant(View):
    id = as_text("id")
    name = as_text("name")
    first_message = as_text("firstMessage")
    metadata = as_view(View, "metadata")


class Call(View):
    """A snapshot from the call's creation: its status, times and costs are not the current ones."""

    id = as_text("id")
    org_id = as_text("orgId")
    type = as_text("type")
    name = as_text("name")
    created_at = as_time("createdAt")
    assistant_id = as_text("assistantId")
    squad_id = as_text("squadId")
    workflow_id = as_text("workflowId")
    phone_number_id = as_text("phoneNumberId")
    customer_id = as_text("customerId")
    campaign_id = as_text("campaignId")
    phone_call_provider = as_text("phoneCallProvider")
    phone_call_provider_id = as_text("phoneCallProviderId")
    customer = as_view(Customer, "customer")
    phone_number = as_view(PhoneNumber, "phoneNumber")
    assistant_overrides = as_view(View, "assistantOverrides")


class Artifact(View):
    transcript = as_text("transcript")
    messages = as_objects("messages")
    messages_openai = as_objects("messagesOpenAIFormatted")
    recording_url = as_text("recordingUrl")
    stereo_recording_url = as_text("stereoRecordingUrl")
    video_recording_url = as_text("videoRecordingUrl")
    log_url = as_text("logUrl")
    pcap_url = as_text("pcapUrl")
    variable_values = as_view(View, "variableValues")
    structured_outputs = as_view(View, "structuredOutputs")
    performance_metrics = as_view(View, "performanceMetrics")


class Analysis(View):
    summary = as_text("summary")
    success_evaluation = as_text("successEvaluation")
    structured_data = as_view(View, "structuredData")
    structured_data_multi = as_objects("structuredDataMulti")


class Cost(View):
    type = as_text("type")
    cost = as_number("cost")


class Chat(View):
    id = as_text("id")
    org_id = as_text("orgId")
    name = as_text("name")
    assistant_id = as_text("assistantId")
    session_id = as_text("sessionId")
    previous_chat_id = as_text("previousChatId")
    messages = as_objects("messages")
    output = as_objects("output")
    created_at = as_time("createdAt")
    updated_at = as_time("updatedAt")
    cost = as_number("cost")


class Session(View):
    id = as_text("id")
    org_id = as_text("orgId")
    name = as_text("name")
    status = as_text("status")
    assistant_id = as_text("assistantId")
    customer_id = as_text("customerId")
    phone_number_id = as_text("phoneNumberId")
    customer = as_view(Customer, "customer")
    messages = as_objects("messages")
    created_at = as_time("createdAt")
    updated_at = as_time("updatedAt")
    cost = as_number("cost")


class ToolCall(View):
    """One call of a tool, in any of the forms that Vapi sends."""

    id = as_text("id")
    name = as_text("function.name", "name")

    @property
    def arguments(self) -> View:
        """The arguments, also those that arrive as JSON text. The model chose them: check them."""
        for path in ("function.arguments", "arguments", "parameters", "function.parameters"):
            value = value_at(self.raw, path)
            if isinstance(value, str):
                try:
                    value = orjson.loads(value)
                except orjson.JSONDecodeError:
                    continue
            if isinstance(value, Mapping):
                return View(value)
        return View(None)


class CallMessage(View):
    """What all messages have. `TYPES` are the event types of a class."""

    TYPES: ClassVar[tuple[str, ...]] = ()

    type = as_text("type")
    timestamp = as_time("timestamp")
    call = as_view(Call, "call")
    customer = as_view(Customer, "customer")
    phone_number = as_view(PhoneNumber, "phoneNumber")
    assistant = as_view(Assistant, "assistant")
    artifact = as_view(Artifact, "artifact")
    chat = as_view(Chat, "chat")


class AssistantRequest(CallMessage):
    TYPES = ("assistant-request",)


class AssistantSpeechStarted(CallMessage):
    TYPES = ("assistant.speechStarted",)
    text = as_text("text")
    turn = as_number("turn")
    source = as_text("source")
    timing = as_view(View, "timing")


class AssistantStarted(CallMessage):
    TYPES = ("assistant.started",)
    new_assistant = as_view(Assistant, "newAssistant")


class UploadedArtifact(View):
    type = as_text("type")
    success = as_flag("success")


class CallArtifactUpload(CallMessage):
    TYPES = ("call.artifact.upload",)
    artifacts = as_views(UploadedArtifact, "artifacts")


class CallDeleted(CallMessage):
    TYPES = ("call.deleted", "call.delete.failed")


class Contact(View):
    id = as_text("id")
    org_id = as_text("orgId")
    number = as_text("number")
    name = as_text("name")


class CampaignPredial(CallMessage):
    TYPES = ("campaign.predial",)
    campaign_id = as_text("campaignId")
    contact = as_view(Contact, "contact")


class ChatEvent(CallMessage):
    """The chat is in the field `chat`."""

    TYPES = ("chat.created", "chat.deleted")


class Conversation(CallMessage):
    """Messages with the conversation so far."""

    TYPES = ("conversation-update", "call.endpointing.request", "knowledge-base-request")
    messages = as_objects("messages")
    messages_openai = as_objects("messagesOpenAIFormatted")


class EndOfCallReport(CallMessage):
    """Some fields stand at the top in older messages, in `artifact` or `analysis` in newer ones."""

    TYPES = ("end-of-call-report",)
    ended_reason = as_text("endedReason")
    started_at = as_time("startedAt")
    ended_at = as_time("endedAt")
    duration_seconds = as_number("durationSeconds")
    cost = as_number("cost", "costBreakdown.total")
    costs = as_views(Cost, "costs")
    analysis = as_view(Analysis, "analysis")
    summary = as_text("analysis.summary", "summary")
    transcript = as_text("artifact.transcript", "transcript")
    recording_url = as_text("artifact.recordingUrl", "recordingUrl")
    messages = as_objects("artifact.messages", "messages")
    destination = as_view(View, "destination")
    compliance = as_view(View, "compliance")


class FunctionCall(CallMessage):
    TYPES = ("function-call",)
    function_call = as_view(ToolCall, "functionCall")


class HandoffDestinationRequest(CallMessage):
    TYPES = ("handoff-destination-request",)
    parameters = as_view(View, "parameters")


class Hang(CallMessage):
    """The assistant is late. The call goes on."""

    TYPES = ("hang",)


class LanguageChangeDetected(CallMessage):
    TYPES = ("language-change-detected",)
    language = as_text("language")


class ModelOutput(CallMessage):
    TYPES = ("model-output",)
    turn_id = as_text("turnId")
    output = as_view(View, "output")


class PhoneCallControl(CallMessage):
    TYPES = ("phone-call-control",)
    request = as_text("request")
    destination = as_view(View, "destination")


class SessionEvent(CallMessage):
    TYPES = ("session.created", "session.updated", "session.deleted")
    session = as_view(Session, "session")


class SpeechUpdate(CallMessage):
    TYPES = ("speech-update",)
    status = as_text("status")
    role = as_text("role")
    turn = as_number("turn")


class StatusUpdate(CallMessage):
    TYPES = ("status-update",)
    status = as_text("status")
    ended_reason = as_text("endedReason")
    transcript = as_text("transcript")
    summary = as_text("summary")
    messages = as_objects("messages")
    messages_openai = as_objects("messagesOpenAIFormatted")
    destination = as_view(View, "destination")


class _ListedTool(View):
    tool_call = as_view(ToolCall, "toolCall")


class ToolCalls(CallMessage):
    TYPES = ("tool-calls",)
    _listed = as_views(_ListedTool, "toolWithToolCallList")
    _plain = as_views(ToolCall, "toolCallList", "toolCalls")

    @property
    def tool_calls(self) -> list[ToolCall]:
        return self._plain or [listed.tool_call for listed in self._listed if listed.tool_call]


class Transcript(CallMessage):
    """Also for the types in brackets, such as `transcript[transcriptType="final"]`."""

    TYPES = ("transcript",)
    role = as_text("role")
    transcript_type = as_text("transcriptType")
    transcript = as_text("transcript")
    original_transcript = as_text("originalTranscript")
    confidence = as_number("confidence")
    is_filtered = as_flag("isFiltered")


class TransferDestinationRequest(CallMessage):
    TYPES = ("transfer-destination-request",)


class TransferUpdate(CallMessage):
    TYPES = ("transfer-update",)
    destination = as_view(View, "destination")
    to_assistant = as_view(Assistant, "toAssistant")
    from_assistant = as_view(Assistant, "fromAssistant")


class UserInterrupted(CallMessage):
    TYPES = ("user-interrupted",)
    turn_id = as_text("turnId")


class VoiceInput(CallMessage):
    TYPES = ("voice-input",)
    input = as_text("input")


class VoiceRequest(CallMessage):
    TYPES = ("voice-request",)
    text = as_text("text")
    sample_rate = as_number("sampleRate")
