"""Forwards: the URLs that get a signed copy of each webhook of an endpoint."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator

from ringback.contract.retry_schedule import RetrySchedule
from ringback.runtime.endpoints.document import (
    EventTypes,
    HttpUrl,
    Model,
    NetworkText,
    is_listed,
    read_as,
)
from ringback.runtime.endpoints.secret_sources import SigningSecrets, Sources
from ringback.runtime.outgoing.addresses import Network
from ringback.runtime.outgoing.signature import SigningKey, signing_key

_GONE = 410
_MAX_TIMEOUT_S = 60
_MAX_CONCURRENCY = 100
_MAX_DESTINATION = 63


def destination_of(endpoint_id: str, forward: str) -> str:
    """Its name among all destinations: at most 63 of a-z, 0-9, '.', '_' and '-'."""
    text = f"forward.{endpoint_id}.{forward}"
    name = text.lower().replace("~", "-")
    if name == text and len(name) <= _MAX_DESTINATION:
        return name
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{name[: _MAX_DESTINATION - 9]}-{digest}"


@dataclass(frozen=True, slots=True)
class Forward:
    """A URL, and how webhooks are sent to it. Its keys follow from its secrets."""

    endpoint_id: str
    name: str
    url: str = field(repr=False)
    event_types: tuple[str, ...]
    secrets: tuple[str, ...] = field(repr=False)
    timeout_s: float
    schedule: RetrySchedule | None
    networks: tuple[Network, ...]
    permanent_statuses: frozenset[int]
    concurrency: int
    keys: tuple[SigningKey, ...] = field(repr=False, compare=False)

    @property
    def destination(self) -> str:
        return destination_of(self.endpoint_id, self.name)

    def accepts(self, event_type: str) -> bool:
        return is_listed(event_type, self.event_types)


def _schedule(text: str) -> str:
    RetrySchedule.parse(text)
    return text


class ForwardEntry(Model):
    """A URL that gets a signed copy of each webhook of an endpoint."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
    url: HttpUrl
    signing_secrets: SigningSecrets
    event_types: Annotated[tuple[EventTypes, ...], Field(min_length=1)] = ("*",)
    timeout_s: Annotated[float, Field(gt=0, le=_MAX_TIMEOUT_S)] = 15.0
    schedule: Annotated[str, AfterValidator(_schedule)] | None = None
    allow_networks: tuple[NetworkText, ...] = ()
    permanent_statuses: tuple[Annotated[int, Field(ge=400, le=499)], ...] = ()
    concurrency: Annotated[int, Field(ge=1, le=_MAX_CONCURRENCY)] = 4

    @model_validator(mode="after")
    def _is_encrypted(self) -> "ForwardEntry":
        if not self.url.lower().startswith("https:") and not self.allow_networks:
            raise ValueError("url must begin with https: http is only for hosts in allow_networks")
        return self

    def built(self, endpoint_id: str) -> Forward:
        secrets = tuple(secret.value for secret in self.signing_secrets)
        return Forward(
            endpoint_id=endpoint_id,
            name=self.name,
            url=self.url,
            event_types=self.event_types,
            secrets=secrets,
            timeout_s=self.timeout_s,
            schedule=None if self.schedule is None else RetrySchedule.parse(self.schedule),
            networks=tuple(ip_network(one) for one in self.allow_networks),
            permanent_statuses=frozenset({_GONE, *self.permanent_statuses}),
            concurrency=self.concurrency,
            keys=tuple(map(signing_key, secrets)),
        )


def _has_own_names(entries: tuple[ForwardEntry, ...]) -> tuple[ForwardEntry, ...]:
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"the name {name} is declared twice")
    return entries


ForwardEntries = Annotated[tuple[ForwardEntry, ...], AfterValidator(_has_own_names)]


class _EndpointPart(Model):
    """The part of an endpoint that a processor needs: it reads no secret of a sender."""

    model_config = ConfigDict(extra="ignore")

    forward: ForwardEntries = ()


class _DocumentPart(Model):
    model_config = ConfigDict(extra="ignore")

    endpoints: dict[str, _EndpointPart]


def read_forwards(path: Path, sources: Sources) -> tuple[Forward, ...]:
    """All forwards that the endpoints file declares. Raises DocumentError."""
    found = read_as(_DocumentPart, path, sources).endpoints
    return tuple(one.built(name) for name, part in found.items() for one in part.forward)


class ForwardTable:
    """The forwards in use, replaced as a whole."""

    def __init__(self, forwards: Iterable[Forward] = ()) -> None:
        self._by_endpoint = _by_endpoint(forwards)

    def __iter__(self) -> Iterator[Forward]:
        return (one for found in self._by_endpoint.values() for one in found.values())

    def find(self, endpoint_id: str, name: str) -> Forward | None:
        return self._by_endpoint.get(endpoint_id, {}).get(name)

    def wanting(self, endpoint_id: str, event_type: str) -> list[Forward]:
        """The forwards that get this webhook."""
        found = self._by_endpoint.get(endpoint_id)
        return [one for one in found.values() if one.accepts(event_type)] if found else []

    def replace(self, forwards: tuple[Forward, ...]) -> list[str]:
        """Use these from now on. Returns the endpoints whose forwards have changed."""
        before, self._by_endpoint = self._by_endpoint, _by_endpoint(forwards)
        after = self._by_endpoint
        return sorted(
            one for one in before.keys() | after.keys() if before.get(one) != after.get(one)
        )


def _by_endpoint(forwards: Iterable[Forward]) -> Mapping[str, Mapping[str, Forward]]:
    found: dict[str, dict[str, Forward]] = {}
    for forward in forwards:
        found.setdefault(forward.endpoint_id, {})[forward.name] = forward
    return found
