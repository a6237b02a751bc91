"""Who is at the browser: the pages to sign in and out, and the session of each request."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import unquote

import structlog
from aiohttp import hdrs, web

from ringback.contract.telemetry import LogEvent
from ringback.services.metrics.auth.principal import Principal
from ringback.services.metrics.console.codes import ConsoleCodes
from ringback.services.metrics.console.oidc import FAILED, OidcProvider, Pending, SignInError
from ringback.services.metrics.console.page import Page
from ringback.services.metrics.console.session import Cookies, Session, Sessions, SignedValues
from ringback.services.metrics.console.settings import ConsoleSettings
from ringback.services.metrics.transport.dispatcher import Authenticates
from ringback.services.metrics.transport.errors import unauthenticated

log = structlog.get_logger()

CALLBACK = "/oidc/callback"
PATHS = frozenset({"/sign-in", "/sign-out", "/oidc", CALLBACK})
"""The paths that need no session."""

NOT_SIGNED_IN = "Sign in to see this page."
_BAD_CODE = "The code is unknown, was used before, or is older than a minute. Create another one."
_SIGNED_OUT = "You are signed out of the console."
_PENDING, _PENDING_S = "ringback-oidc", 600
_MAX_NEXT = 2000
_DOTS = re.compile(r"\.{1,2}")


class SignIn:
    """`provider` is None without OIDC. Raises ApiError where the database cannot be reached."""

    def __init__(
        self,
        authenticator: Authenticates,
        codes: ConsoleCodes,
        provider: OidcProvider | None,
        settings: ConsoleSettings,
    ) -> None:
        assert settings.console_secret is not None
        self._authenticator = authenticator
        self._codes = codes
        self._provider = provider
        self._base_path = settings.console_path
        self._signed = SignedValues(settings.console_secret.get_secret_value())
        is_https = (settings.console_url or "").startswith("https:")
        self._cookies = Cookies(is_https, settings.console_path)
        self._sessions = Sessions(self._signed, self._cookies)

    def known(self, request: web.BaseRequest) -> Session | None:
        """The session of the cookie, to name the person on a page that needs none."""
        return self._sessions.current(request)

    async def session_of(self, request: web.BaseRequest) -> Session:
        """Who sent the request. Raises ApiError UNAUTHENTICATED.

        A token in the header, as a proxy adds it, takes precedence over the cookie, also if it is
        invalid.
        """
        given = request.headers.getall(hdrs.AUTHORIZATION, [])
        if given:
            # Two headers together form no valid token.
            return Session(await self._authenticator.authenticate(", ".join(given)), None)
        session = self._sessions.current(request)
        if session is None:
            raise unauthenticated(NOT_SIGNED_IN)
        return session

    def page(self, next_path: str, message: str = "", status: int = HTTPStatus.OK) -> Page:
        """The page to sign in, which then leads to `next_path`."""
        data = {
            "message": message,
            "is_refused": status != HTTPStatus.OK,
            "next_path": next_path,
            "has_provider": self._provider is not None,
        }
        return Page("sign_in.html", "Sign in", data, status)

    async def answer(
        self, request: web.BaseRequest, path: str, form: Mapping[str, str]
    ) -> Page | web.Response | None:
        """The answer of a path that needs no session; None for other paths. Raises ApiError."""
        match request.method, path:
            case "GET" | "HEAD", "/sign-in":
                message = _SIGNED_OUT if "signed_out" in request.query else ""
                return self.page(self._next(request.query), message)
            case "POST", "/sign-in":
                return await self._by_code(form)
            case "POST", "/sign-out":
                response = _redirect(f"{self._base_path}/sign-in?signed_out=1")
                self._sessions.end(response)
                return response
            case "GET", "/oidc" if self._provider is not None:
                return await self._begin(self._provider, request)
            case "GET", "/oidc/callback" if self._provider is not None:
                return await self._finish(self._provider, request)
        return None

    async def _by_code(self, form: Mapping[str, str]) -> Page | web.Response:
        principal = await self._codes.use(form.get("code", ""))
        if principal is None:
            log.warning(LogEvent.CONSOLE_SIGN_IN_REFUSED, method="code", reason="not a valid code")
            return self.page(self._next(form), _BAD_CODE, HTTPStatus.UNAUTHORIZED)
        return self._welcome(principal, self._next(form), "code")

    async def _begin(self, provider: OidcProvider, request: web.BaseRequest) -> Page | web.Response:
        next_path = self._next(request.query)
        try:
            url, pending = await provider.begin(next_path)
        except SignInError as error:
            return self._refused(error, next_path)
        response = _redirect(url)
        values = {
            "state": pending.state,
            "nonce": pending.nonce,
            "verifier": pending.verifier,
            "next_path": pending.next_path,
        }
        self._cookies.set(
            response, _PENDING, self._signed.sign(_PENDING, values, _PENDING_S), _PENDING_S
        )
        return response

    async def _finish(
        self, provider: OidcProvider, request: web.BaseRequest
    ) -> Page | web.Response:
        kept = self._signed.read(_PENDING, self._cookies.read(request, _PENDING))
        if kept is None:
            unknown = SignInError(FAILED, "this browser has begun no sign-in, or too long ago")
            return self._refused(unknown, self._base_path)
        pending = Pending(kept["state"], kept["nonce"], kept["verifier"], kept["next_path"])
        try:
            principal = await provider.finish(request.rel_url.raw_query_string, pending)
        except SignInError as error:
            return self._refused(error, pending.next_path)
        response = self._welcome(principal, pending.next_path, "oidc")
        self._cookies.clear(response, _PENDING)
        return response

    def _welcome(self, principal: Principal, next_path: str, method: str) -> web.Response:
        response = _redirect(next_path)
        self._sessions.begin(response, principal)
        log.info(
            LogEvent.CONSOLE_SIGNED_IN,
            actor=principal.actor,
            role=principal.role.value,
            method=method,
        )
        return response

    def _refused(self, error: SignInError, next_path: str) -> Page:
        log.warning(LogEvent.CONSOLE_SIGN_IN_REFUSED, method="oidc", reason=error.reason)
        status = HTTPStatus.SERVICE_UNAVAILABLE if error.is_away else HTTPStatus.UNAUTHORIZED
        return self.page(next_path, error.message, status)

    def _next(self, given: Mapping[str, str]) -> str:
        return return_path(self._base_path, given.get("next", ""))


def return_path(base_path: str, wanted: str) -> str:
    r"""`wanted`, if it is surely a page of the console, else the console's first page.

    A browser reads `\` as `/`, drops tabs and line ends, and resolves `%2e%2e`.
    """
    path = re.split(r"[?#]", wanted, maxsplit=1)[0]
    segments = path.removeprefix(f"{base_path}/").split("/")
    is_ours = (
        len(wanted) <= _MAX_NEXT
        and wanted.isascii()
        and wanted.isprintable()
        and not set(' \\"<>') & set(wanted)
        and (path == base_path or path.startswith(f"{base_path}/"))
        and not any(_DOTS.fullmatch(unquote(segment)) for segment in segments)
        and "//" not in path
    )
    return wanted if is_ours else base_path


def _redirect(url: str) -> web.Response:
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={hdrs.LOCATION: url})
