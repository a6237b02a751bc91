"""An endpoint: one URL to which webhooks are sent, the org they belong to, and its secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from uuid import UUID

from services.gateway.refusal import NO_SECRET, WRONG_SECRET, Refusal

DEFAULT_ENDPOINT_ID = "default"

SECRET_HEADER = "X-Vapi-Secret"  # ruff: ignore[hardcoded-password-string]  # a header's name
AUTHORIZATION_HEADER = "Authorization"

_BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where webhooks arrive. The org is a property of the endpoint, never of a body.

    Several secrets are valid at once while one is being replaced. An endpoint without any takes
    everything; only RINGBACK_ALLOW_UNAUTHENTICATED makes such endpoints.
    """

    id: str
    org_id: UUID
    secrets: tuple[bytes, ...] = field(default=(), repr=False)

    def refuses(self, headers: Mapping[str, str]) -> Refusal | None:
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


def _secrets_in(headers: Mapping[str, str]) -> list[str]:
    """What the sender presents. Vapi sends X-Vapi-Secret empty where no credential is set."""
    bearer = headers.get(AUTHORIZATION_HEADER, "")
    token = bearer[len(_BEARER) :].strip() if bearer[: len(_BEARER)].lower() == _BEARER else ""
    return [text for text in (headers.get(SECRET_HEADER, "").strip(), token) if text]
