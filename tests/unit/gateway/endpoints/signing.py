"""What an endpoint finds in a request."""

from collections.abc import Mapping
from uuid import UUID

from multidict import CIMultiDict

from ringback.runtime.endpoints.secret_sources import Sources
from ringback.services.gateway.endpoints.document import built, parse_entries
from ringback.services.gateway.endpoints.endpoint import PROVEN, Endpoint, HeadCheck
from ringback.services.gateway.endpoints.signatures import Hmac, StandardWebhooks
from ringback.services.gateway.http.rejection import Rejection

ORG = UUID("5b0c2f0e-7d1c-4a55-9a86-2f2f5f1f0001")
NOW_S = 1_764_400_000
BODY = b'{"message": {"type": "hang", "text": "\xc3\xa9 \xf0\x9f\x93\x9e"}}'


def endpoint_with(*credentials: str, more: str = "") -> Endpoint:
    """The endpoint of a document with these credentials, in YAML."""
    listed = "".join(f"\n    - {one}" for one in credentials)
    text = f"acme:\n  org_id: {ORG}\n{more}  credentials:{listed}"
    (endpoint,) = built(parse_entries(text, Sources({})))
    return endpoint


def result(
    endpoint: Endpoint, headers: Mapping[str, str], body: bytes = BODY, *, now_s: float = NOW_S
) -> Hmac | StandardWebhooks | Rejection | None:
    """What an endpoint finds: the signature, a rejection, or None if the headers sufficed."""
    given = CIMultiDict(headers)
    checked = endpoint.check_head(given, now_s)
    if checked is PROVEN:
        return None
    if isinstance(checked, Rejection):
        return checked
    assert isinstance(checked, HeadCheck)
    found = endpoint.check_body(checked, given, "POST", body)
    assert isinstance(found, Hmac | StandardWebhooks | Rejection)
    return found


def reason(
    endpoint: Endpoint, headers: Mapping[str, str], body: bytes = BODY, *, now_s: float = NOW_S
) -> str | None:
    """Why an endpoint rejects a request; None if it does not."""
    found = result(endpoint, headers, body, now_s=now_s)
    return found.reason if isinstance(found, Rejection) else None
