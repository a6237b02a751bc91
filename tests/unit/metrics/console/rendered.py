"""Runs one page of the console against canned answers of the API."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

from google.protobuf.message import Message

from ringback.services.metrics.auth.principal import Principal, Role
from ringback.services.metrics.console.page import Page, Result, Show, Visit
from ringback.services.metrics.console.rendering import Renderer
from ringback.services.metrics.console.session import Session
from ringback.services.metrics.transport.errors import ApiError

SERVICE = Principal(Role.SERVICE, None, "ann")
TENANT = Principal(Role.TENANT, UUID(int=7), "bob")


class CannedApi:
    """Answers each call with the next of `answers`, or raises it; keeps the requests."""

    def __init__(self, answers: Sequence[Message | ApiError]) -> None:
        self._answers = list(answers)
        self.requests: list[Message] = []

    async def call(self, request: Message) -> Message:
        self.requests.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        return answer


async def run(
    show: Show,
    *answers: Message | ApiError,
    query: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    principal: Principal = SERVICE,
) -> tuple[Result, list[Message]]:
    """The page's result, and the requests that it made."""
    api = CannedApi(answers)
    visit = Visit(principal, api.call, variables or {}, query or {}, form or {})
    return await show(visit), api.requests


def html(result: Result, principal: Principal = SERVICE, **options: Any) -> str:
    """`options` are those of the renderer."""
    assert isinstance(result, Page)
    frame = {
        "principal": principal,
        "session": Session(principal, None),
        "title": result.title,
        "label": "",
        "path": "/",
        "query": {},
        "now": datetime(2026, 1, 27, tzinfo=UTC),
    }
    renderer = Renderer("/ops/console", **options) if options else _renderer()
    body, _ = renderer.render(result.template, {**frame, **result.data})
    return body.decode()


@cache
def _renderer() -> Renderer:
    """It compiles each template once."""
    return Renderer("/ops/console")
