"""Serves the console: finds the page of a request, lets it call the API, and renders it."""

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote

import grpc
import structlog
from aiohttp import ClientError, hdrs, web
from google.protobuf.message import Message
from opentelemetry.trace import Span

from ringback.contract.telemetry import LogEvent
from ringback.services.metrics.auth.principal import Principal
from ringback.services.metrics.console.assets import assets
from ringback.services.metrics.console.page import Download, Page, Redirect, Result, Route, Visit
from ringback.services.metrics.console.rendering import Renderer
from ringback.services.metrics.console.security import is_same_origin, page_headers
from ringback.services.metrics.console.session import Session
from ringback.services.metrics.console.sign_in import PATHS, SignIn
from ringback.services.metrics.transport.call import Peer
from ringback.services.metrics.transport.dispatcher import Dispatcher
from ringback.services.metrics.transport.errors import ApiError, Reason, internal
from ringback.services.metrics.transport.problem import NO_SUCH_PATH, HttpError, status_of
from ringback.services.metrics.transport.rest_routes import path_pattern

log = structlog.get_logger()

CALL_TIMEOUT_S = 5.0
"""How long a page waits for each of its calls."""

PAGE_TIMEOUT_S = 8.0
"""How long a page that changes nothing waits for all of them together."""

MAX_FIELDS = 200
_ASSET_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    "Server": "ringback",
}
_FORM = "application/x-www-form-urlencoded"

OTHER_SITE = HttpError(
    grpc.StatusCode.PERMISSION_DENIED,
    Reason.PERMISSION_DENIED,
    "This form was not sent by a page of the console. Open the console and try again.",
    status=HTTPStatus.FORBIDDEN,
)

BAD_FORM = HttpError(
    grpc.StatusCode.INVALID_ARGUMENT,
    Reason.BROKEN_BODY,
    "The form could not be read. Reload the page and try again.",
    status=HTTPStatus.BAD_REQUEST,
)


NOTHING_DONE = "What you sent was not done, and the form's content was not kept."


class ConsoleBinding:
    """Answers the requests below `base_path`, as in `/console`.

    `origin` is that of the browser's address; without it, it is what the request says. `trace_url`
    returns where a trace id is shown.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        routes: Iterable[Route],
        sign_in: SignIn,
        *,
        base_path: str,
        label: str = "",
        origin: str | None = None,
        trace_url: Callable[[str], str | None] = lambda _: None,
        frame_ancestors: str = "'none'",
    ) -> None:
        self._dispatcher = dispatcher
        self._routes = [(route, path_pattern(route.path)) for route in routes]
        self._methods = {method.request_class: method for method in dispatcher.methods}
        self._sign_in = sign_in
        self._origin = origin
        self._base_path = base_path
        self._label = label
        self._renderer = Renderer(base_path, trace_url)
        self._assets = {asset.path: asset for asset in assets().values()}
        self._headers = page_headers(frame_ancestors=frame_ancestors)

    def serves(self, raw_path: str) -> bool:
        return raw_path == self._base_path or raw_path.startswith(f"{self._base_path}/")

    def template_of(self, raw_path: str) -> str | None:
        """The route of a path, for spans; None for an unknown path."""
        if self._below(raw_path) in PATHS:
            return raw_path
        found = self._find(self._below(raw_path))
        return f"{self._base_path}{found[0].path}" if found else None

    async def answer(self, request: web.BaseRequest, peer: Peer, span: Span) -> web.Response:
        """Return a response in every case; raises only CancelledError."""
        path = self._below(request.rel_url.raw_path)
        if (asset := self._assets.get(path)) is not None:
            headers = {**_ASSET_HEADERS, hdrs.CONTENT_TYPE: asset.content_type}
            return web.Response(body=asset.body, headers=headers)
        session = None
        try:
            session = self._sign_in.known(request)
            form = await self._form(request)
            if (answer := await self._sign_in.answer(request, path, form)) is not None:
                return await self._response(request, answer, session)
            session = await self._sign_in.session_of(request)
            result = await self._show(request, form, session.principal, peer, span)
            return await self._response(request, result, session)
        except ApiError as error:
            if error.reason is Reason.INTERNAL:
                log.exception(LogEvent.PAGE_FAILED, path=path)
            page = self._error_page(request, error)
        except Exception:
            log.exception(LogEvent.PAGE_FAILED, path=path)
            page = self._error_page(request, internal())
        return await self._response(request, page, session)

    async def _form(self, request: web.BaseRequest) -> Mapping[str, str]:
        """The fields of a request that may change something. Raises ApiError for another site's.

        A request with a token in its header is checked too. A browser does not send one by itself,
        but a proxy that people sign in to adds it to every request, whoever caused it.
        """
        if request.method in {hdrs.METH_GET, hdrs.METH_HEAD}:
            return {}
        origin = self._origin or f"{request.scheme}://{request.host}"
        if not is_same_origin(request.headers, origin):
            raise OTHER_SITE
        return await _form(request)

    async def _show(
        self,
        request: web.BaseRequest,
        form: Mapping[str, str],
        principal: Principal,
        peer: Peer,
        span: Span,
    ) -> Result:
        verb = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
        found = self._find(self._below(request.rel_url.raw_path), verb)
        if found is None:
            raise replace(NO_SUCH_PATH, message="The console has no such page.")
        route, variables = found

        clock = asyncio.get_running_loop().time
        end = clock() + PAGE_TIMEOUT_S if verb == hdrs.METH_GET else math.inf

        async def call(message: Message) -> Message:
            return await self._dispatcher.unary(
                self._methods[type(message)],
                message,
                authorization=principal,
                timeout_s=min(CALL_TIMEOUT_S, end - clock()),
                peer=peer,
                span=span,
            )

        return await route.show(Visit(principal, call, variables, dict(request.query), form))

    def _find(self, path: str, verb: str | None = None) -> tuple[Route, Mapping[str, str]] | None:
        for route, pattern in self._routes:
            match = pattern.fullmatch(path)
            if match and verb in {None, route.verb}:
                return route, {name: unquote(text) for name, text in match.groupdict().items()}
        return None

    def _below(self, raw_path: str) -> str:
        return raw_path.removeprefix(self._base_path).rstrip("/") or "/"

    def _error_page(self, request: web.BaseRequest, error: ApiError) -> Page:
        if error.reason is Reason.UNAUTHENTICATED:
            is_page = request.method in {hdrs.METH_GET, hdrs.METH_HEAD}
            next_path = str(request.rel_url) if is_page else self._base_path
            message = error.message if is_page else f"{error.message} {NOTHING_DONE}"
            return self._sign_in.page(next_path, message, HTTPStatus.UNAUTHORIZED)
        return Page("error.html", "Not available", {"error": error}, status_of(error).value)

    async def _response(
        self, request: web.BaseRequest, result: Result | web.Response, session: Session | None
    ) -> web.Response:
        match result:
            case web.Response() as response:
                response.headers.update(self._headers)
                return response
            case Redirect(path, query):
                location = self._renderer.link(path, **query)
                return web.Response(status=303, headers={**self._headers, hdrs.LOCATION: location})
            case Download(filename, body, content_type):
                disposition = f'attachment; filename="{filename}"'
                headers = {
                    **self._headers,
                    "Content-Security-Policy": "sandbox; default-src 'none'",
                    hdrs.CONTENT_TYPE: content_type,
                    hdrs.CONTENT_DISPOSITION: disposition,
                }
                return web.Response(body=body, headers=headers)
            case Page() as page:
                return await self._page(request, page, session)

    async def _page(
        self, request: web.BaseRequest, page: Page, session: Session | None
    ) -> web.Response:
        # A page of thousands of lines takes a while, and other callers are waiting.
        body, tag = await asyncio.to_thread(
            self._renderer.render,
            page.template,
            {
                "principal": session and session.principal,
                "session": session,
                "title": page.title,
                "label": self._label,
                "path": self._below(request.rel_url.raw_path),
                "query": dict(request.query),
                "now": datetime.now(UTC),
                **page.data,
            },
        )
        headers = {**self._headers, hdrs.CONTENT_TYPE: "text/html; charset=utf-8", hdrs.ETAG: tag}
        is_known = page.status == HTTPStatus.OK and request.headers.get(hdrs.IF_NONE_MATCH) == tag
        if is_known:
            return web.Response(status=304, headers=headers)
        return web.Response(status=page.status, body=body, headers=headers)


async def _form(request: web.BaseRequest) -> Mapping[str, str]:
    """Read the fields of a form. Raises ApiError for a body of another kind."""
    if request.content_type != _FORM:
        raise BAD_FORM
    try:
        text = (await request.read()).decode()
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except (
        *(ValueError, web.HTTPRequestEntityTooLarge),
        *(web.RequestPayloadError, ClientError, ConnectionError),
    ):
        raise BAD_FORM from None
