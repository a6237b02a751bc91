"""Endpoints: the URLs that receive webhooks, each with its org and who may send to it."""

import posixpath
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Protocol, cast
from uuid import UUID

from multidict import MultiMapping

from ringback.contract.retry_schedule import RetrySchedule
from ringback.runtime.endpoints.document import ANY_TYPE, is_listed
from ringback.runtime.outgoing.remote_keys import RemoteKeySet
from ringback.services.gateway.endpoints.credentials import (
    Credential,
    Failure,
    SharedSecret,
    Signature,
    furthest,
)
from ringback.services.gateway.endpoints.tokens import AccessToken
from ringback.services.gateway.http.rejection import Rejection, unauthenticated

DEFAULT_ENDPOINT_ID = "default"

SECRET_HEADER = "X-Vapi-Secret"  # ruff: ignore[hardcoded-password-string]  # a header's name


@dataclass(frozen=True, slots=True)
class Question:
    """The backend for one type of question, how long to wait for it, and the fallback."""

    url: str = field(repr=False)
    timeout_s: float
    fallback: Mapping[str, Any] | None = field(default=None, repr=False)


HANDLER_SCHEME = "unix"


def handler_url(question_type: str, endpoint_id: str, org_id: UUID) -> str:
    """Where the process of the functions with @answers gets these questions."""
    return f"{HANDLER_SCHEME}://handler/{question_type}/{endpoint_id}/{org_id}"


def unanswered(endpoints: Iterable["Endpoint"], types: Container[str]) -> list[str]:
    """A problem for each declared `handler: true` that has no function with @answers."""
    return [
        f"{endpoint.id}.questions.{name}.handler: RINGBACK_ANSWERS names no module with a function "
        f'that is declared with @answers("{name}")'
        for endpoint in endpoints
        for name, question in endpoint.questions.items()
        if question.url.startswith(HANDLER_SCHEME) and name not in types
    ]


@dataclass(frozen=True, slots=True)
class DeclaredForward:
    """What a gateway knows of a forward; processors send it. `destination` is as they name it."""

    name: str
    host: str
    destination: str
    event_types: tuple[str, ...]


_WITHOUT_BODY = (SharedSecret, AccessToken)


@dataclass(frozen=True, slots=True)
class HeadCheck:
    """What headers show: signatures that still need the body, and why all others failed."""

    signatures: tuple[Signature, ...]
    failures: tuple[Failure, ...]


PROVEN = HeadCheck((), ())


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The org of a webhook is that of its endpoint, whatever the body contains.

    Any one of the credentials proves the sender. An endpoint without credentials accepts
    everything; only RINGBACK_ALLOW_UNAUTHENTICATED allows such endpoints. `questions` has a backend
    for each type of event that is a question. `retry_schedule` is None for that of the setting.
    `is_built_in`: it comes from a setting. `credential_kinds` and `forwards` are only shown.
    """

    id: str
    org_id: UUID
    credentials: tuple[Credential, ...] = field(default=(), repr=False)
    is_enabled: bool = True
    event_types: tuple[str, ...] = (ANY_TYPE,)
    is_deduplicated_by_message_id: bool = False
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    questions: Mapping[str, Question] = field(default_factory=dict)
    retry_schedule: RetrySchedule | None = None
    is_built_in: bool = False
    credential_kinds: tuple[str, ...] = ()
    forwards: tuple[DeclaredForward, ...] = ()

    def key_sets(self) -> set[RemoteKeySet]:
        """The key sets at URLs that its credentials need."""
        keys = [one.keys for one in self.credentials if isinstance(one, AccessToken)]
        return {one for one in keys if isinstance(one, RemoteKeySet)}

    def check_head(self, headers: MultiMapping[str], now_s: float) -> HeadCheck | Rejection:
        """Return PROVEN, or the signatures to check with the body, or a rejection."""
        if not self.credentials:
            return PROVEN
        results = []
        for credential in self.credentials:
            failure = credential.check_head(headers, now_s)
            if failure is None and isinstance(credential, _WITHOUT_BODY):
                return PROVEN
            results.append((credential, failure))
        failures = tuple(failure for _, failure in results if failure is not None)
        signatures = tuple(cast("Signature", one) for one, failure in results if failure is None)
        if signatures:
            return HeadCheck(signatures, failures)
        return self._unproven(failures)

    def check_body(
        self, checked: HeadCheck, headers: MultiMapping[str], method: str, body: bytes
    ) -> Signature | Rejection:
        """Return the first signature that matches the body, or a rejection."""
        failures = list(checked.failures)
        for signature in checked.signatures:
            failure = signature.check_body(headers, method, body)
            if failure is None:
                return signature
            failures.append(failure)
        return self._unproven(failures)

    def accepts(self, event_type: str) -> bool:
        """Whether the type is allowed. `*` at the end of an allowed type matches any rest."""
        return is_listed(event_type, self.event_types)

    def _unproven(self, failures: Sequence[Failure]) -> Rejection:
        checks = tuple(f"{failure.reason}: {failure.detail}" for failure in failures)
        return unauthenticated(furthest(failures), self.id, checks)


PATH = "/api/webhooks/vapi"


def routes_to(endpoints: Iterable[Endpoint]) -> Mapping[str, Endpoint]:
    """Every path that accepts webhooks. The default endpoint has two, one without its id."""
    routes = {f"{PATH}/{endpoint.id}": endpoint for endpoint in endpoints}
    default = routes.get(f"{PATH}/{DEFAULT_ENDPOINT_ID}")
    return routes if default is None else {PATH: default, **routes}


class RequestPath(Protocol):
    @property
    def raw_path(self) -> str: ...

    @property
    def path(self) -> str: ...


def match_route(request: RequestPath, routes: Container[str]) -> str | None:
    """The route for a request's path; extra slashes and blanks are ignored."""
    if request.raw_path in routes:
        return request.raw_path
    path = posixpath.normpath("/" + request.path.strip().lstrip("/"))
    return path if path in routes else None
