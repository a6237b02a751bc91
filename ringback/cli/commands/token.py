import os
import re
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import orjson
from cyclopts import App

from ringback.cli.client.signing import Claims, signer, whoami
from ringback.cli.terminal import BadInputError, JsonFlag, err

_EXAMPLES = """Examples:

    ringback token --role service
    ringback token --role tenant --org 00000000-0000-0000-0000-000000000001 --ttl 8h
    export RINGBACK_TOKEN=$(ringback token --role service)
"""

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MIN_TTL_S, _MAX_TTL_S = 1, 366 * 86_400

token = App(name="token", help_epilogue=_EXAMPLES)


@token.default
def _token(
    *,
    role: Literal["service", "tenant"],
    org: str | None = None,
    ttl: str = "1h",
    subject: str | None = None,
    kid: str | None = None,
    json: JsonFlag = False,
    data: Path = Path(".ringback"),
) -> None:
    """Create a token for the metrics API, and print it as the only line on stdout.

    The token is signed with the key in RINGBACK_JWT_PRIVATE_KEY_FILE (PEM), else with
    RINGBACK_JWT_SECRET, else with the key of the local stack. RINGBACK_JWT_AUDIENCE and
    RINGBACK_JWT_ISSUER set its audience and issuer.

    Parameters
    ----------
    role
        service may see and change everything; tenant only the data of its organisation.
    org
        The organisation of a tenant (a UUID).
    ttl
        How long the token is valid, such as 15m, 8h or 30d.
    subject
        The user in the audit log. [default: you, as user@host]
    kid
        The key's id, if the service uses a key set (JWKS).
    json
        Print a JSON document with the token and its expiry.
    data
        The data folder of `ringback up`.
    """
    claims = Claims(role, _org(role, org), subject or whoami(), _seconds(ttl))
    signing = signer(os.environ, data, key_id=kid)
    output = signing.token(claims)
    expires_at = datetime.now(UTC) + timedelta(seconds=claims.ttl_s)
    organisation = f" of {claims.org_id}" if claims.org_id else ""
    err().print(
        f"For {claims.subject}, role {role}{organisation}, until {expires_at:%Y-%m-%d %H:%M} UTC; "
        f"signed with {signing.source}.",
        soft_wrap=True,
    )
    if json:
        output = orjson.dumps(
            {
                "token": output,
                "role": role,
                "orgId": claims.org_id,
                "subject": claims.subject,
                "expiresAt": f"{expires_at:%Y-%m-%dT%H:%M:%SZ}",
            }
        ).decode()
    sys.stdout.write(f"{output}\n")


def _org(role: str, text: str | None) -> str | None:
    if role == "service":
        if text is not None:
            raise BadInputError("The role service has no organisation. Leave out --org.")
        return None
    if text is None:
        raise BadInputError("The role tenant needs an organisation. Use --org with a UUID.")
    try:
        return str(uuid.UUID(text))
    except ValueError as exc:
        raise BadInputError(f"{text!r} is not a UUID.") from exc


def _seconds(ttl: str) -> int:
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", ttl)
    seconds = int(match[1]) * _UNITS_S[match[2]] if match else 0
    if not _MIN_TTL_S <= seconds <= _MAX_TTL_S:
        raise BadInputError(
            f"{ttl!r} is not a valid --ttl. Use a time such as 15m, 8h or 30d, up to 366d."
        )
    return seconds
