"""Every answer that is not 200, as RFC 9457 describes problems."""

from dataclasses import dataclass
from http import HTTPStatus

import orjson

from ringback.contract.event import Unreadable
from services.gateway.unpack import ENCODINGS

CONTENT_TYPE = "application/problem+json"

RETRY_AFTER_S = 2


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not accepted.

    `reason` is the word for logs and metrics, `detail` the sentence that the sender gets. It says
    nothing of our inside. `headers` are those that the status asks for.
    """

    status: HTTPStatus
    reason: str
    detail: str
    headers: tuple[tuple[str, str], ...] = ()

    def body(self) -> bytes:
        return orjson.dumps(
            {
                "type": "about:blank",
                "title": self.status.phrase,
                "status": self.status.value,
                "detail": self.detail,
            }
        )


def _unavailable(reason: str, detail: str) -> Refusal:
    return Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE, reason, detail, (("Retry-After", str(RETRY_AFTER_S)),)
    )


def _unauthorized(reason: str, detail: str) -> Refusal:
    challenge = ("WWW-Authenticate", 'Bearer realm="ringback"')
    return Refusal(HTTPStatus.UNAUTHORIZED, reason, detail, (challenge,))


TOO_LARGE = Refusal(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", "The body is larger than this service takes."
)
NOT_FOUND = Refusal(HTTPStatus.NOT_FOUND, "not_found", "There is no such endpoint.")
WRONG_METHOD = Refusal(
    HTTPStatus.METHOD_NOT_ALLOWED,
    "wrong_method",
    "Webhooks are taken by POST.",
    (("Allow", "POST"),),
)
NO_SECRET = _unauthorized(
    "no_secret", "The request has neither X-Vapi-Secret nor Authorization: Bearer with a value."
)
WRONG_SECRET = _unauthorized("wrong_secret", "The secret is not the one of this endpoint.")
WRONG_CONTENT_TYPE = Refusal(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "wrong_content_type",
    "The body is not JSON, and the content type does not say that it is.",
)
WRONG_CONTENT_ENCODING = Refusal(
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "wrong_content_encoding",
    f"The body is not JSON, and the content encoding is none of {ENCODINGS}.",
)
TOO_SLOW = Refusal(HTTPStatus.REQUEST_TIMEOUT, "too_slow", "The body did not arrive in time.")
HEAD_TOO_SLOW = Refusal(
    HTTPStatus.REQUEST_TIMEOUT, "head_too_slow", "The head of the request did not arrive in time."
)
HEAD_TOO_LARGE = Refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "head_too_large",
    "The head of the request has more than 32 KiB or more than 200 headers.",
)
BROKEN_BODY = Refusal(
    HTTPStatus.BAD_REQUEST, "broken_body", "The body broke off, or its encoding is wrong."
)
BAD_HTTP = Refusal(HTTPStatus.BAD_REQUEST, "bad_http", "The request is not valid HTTP.")
BUSY = _unavailable("busy", "More webhooks are in hand than this service takes at once.")
NOT_STORED = _unavailable("not_stored", "The webhook could not be stored now. Send it again.")
OUR_FAULT = Refusal(
    HTTPStatus.INTERNAL_SERVER_ERROR, "our_fault", "Something is wrong with this service."
)


def unreadable(why: Unreadable) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, why.name.lower(), why.value)


def not_stored(reason: str) -> Refusal:
    """The same answer for everything that can be wrong with the broker; the reason is for us."""
    return _unavailable(reason, NOT_STORED.detail)
