"""Tokens as a caller of the metrics service sends them."""

import time
from typing import Any
from uuid import UUID

import jwt

#: What the services of the tests check tokens with (RINGBACK_JWT_SECRET).
JWT_SECRET = "only the tests know this secret of theirs"
CONSOLE_SECRET = "the sessions of the tests are signed by it"


def token(
    role: str = "service",
    org_id: UUID | str | None = None,
    *,
    secret: str = JWT_SECRET,
    subject: str = "a test",
    **claims: Any,
) -> str:
    """A token that is valid for an hour. `claims` are added, or replace the default ones."""
    standing: dict[str, Any] = {
        "role": role,
        "sub": subject,
        "aud": "ringback",
        "exp": int(time.time()) + 3600,
    }
    if org_id is not None:
        standing["org_id"] = str(org_id)
    return jwt.encode(standing | claims, secret, algorithm="HS256")


def bearer(*args: Any, **claims: Any) -> str:
    """As `token`, as the value of the header Authorization."""
    return f"Bearer {token(*args, **claims)}"
