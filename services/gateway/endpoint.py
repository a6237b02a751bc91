"""An endpoint: one URL to which webhooks are sent, the org they belong to, and its secrets."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hmac import compare_digest
from uuid import UUID

from multidict import MultiMapping

from services.gateway.refusal import NO_SECRET, WRONG_SECRET, Refusal

DEFAULT_ENDPOINT_ID = "default"

SECRET_HEADER = "X-Vapi-Secret"  # ruff: ignore[hardcoded-password-string]  # a header's name
AUTHORIZATION_HEADER = "Authorization"

_BEARER = "bearer"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where webhooks arrive. The org is a property of the endpoint, never of a body.

    Several secrets are valid at once while one is being replaced. An endpoint without any takes
    everything; only RINGBACK_ALLOW_UNAUTHENTICATED makes such endpoints.
    """

    id: str
    org_id: UUID
    secrets: tuple[bytes, ...] = field(default=(), repr=False)

    def refuses(self, headers: MultiMapping[str]) -> Refusal | None:
        """Why these headers do not prove that the sender knows a secret; None if they do.

        Takes the same time whichever secret is wrong, and wherever it differs.
        """
        if not self.secrets:
            return None
        given = [text.encode(errors="surrogateescape") for text in _secrets_in(headers)]
        if not given:
            return NO_SECRET
        matches = [compare_digest(secret, one) for one in given for secret in self.secrets]
        return None if any(matches) else WRONG_SECRET


def _secrets_in(headers: MultiMapping[str]) -> Iterator[str]:
    """What the sender presents. Vapi sends X-Vapi-Secret empty where no credential is set.

    Vapi puts `Bearer` in front of the secret or leaves it out, whichever header it is told to use.
    """
    for name in (SECRET_HEADER, AUTHORIZATION_HEADER):
        for value in headers.getall(name, ()):
            whole = value.strip()
            scheme, _, token = whole.partition(" ")
            if scheme.lower() == _BEARER:
                yield from (whole, token.strip()) if token else ()
            # Of Authorization, two words are the scheme of somebody else.
            elif whole and (name == SECRET_HEADER or not token):
                yield whole
