import os
import re
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import orjson
from cyclopts import App, Parameter

from ringback.cli.client.signing import Claims, signer, whoami
from ringback.cli.terminal import BadInputError, err

_EXAMPLES = """Examples:

    ringback token --role service
    ringback token --role tenant --org 00000000-0000-0000-0000-000000000001 --ttl 8h
    export RINGBACK_TOKEN=$(ringback token --role service)
"""

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SHORTEST_S, _LONGEST_S = 1, 366 * 86_400

token = App(name="token", help_epilogue=_EXAMPLES)


@token.default
def _token(
    *,
    role: Literal["service", "tenant"],
    org: str | None = None,
    ttl: str = "1h",
    subject: str | None = None,
    kid: str | None = None,
    json: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    data: Path = Path(".ringback"),
) -> None:
    """Make a token for the metrics API; alone, it is the last line of the output.

    It is signed with RINGBACK_JWT_PRIVATE_KEY_FILE (PEM), or RINGBACK_JWT_SECRET, or the local
    stack's own key; for RINGBACK_JWT_AUDIENCE, by RINGBACK_JWT_ISSUER.

    Parameters
    ----------
    role
        service sees and changes everything; tenant what is its organisation's.
    org
        The organisation of a tenant (a UUID).
    ttl
        For how long it is good, such as 15m, 8h or 30d.
    subject
        Whom the audit names for the changes made with it. [default: you]
    kid
        Which key of a key set it is signed with, if the service has a key set (JWKS).
    json
        Print a JSON document with the token and when it ends.
    data
        The folder that `ringback up` was given.
    """
    claims = Claims(role, _org(role, org), subject or whoami(), _seconds(ttl))
    signing = signer(os.environ, data, key_id=kid)
    made = signing.token(claims)
    ends_at = datetime.now(UTC) + timedelta(seconds=claims.ttl_s)
    whose = f" of {claims.org_id}" if claims.org_id else ""
    err().print(
        f"For {claims.subject}, role {role}{whose}, until {ends_at:%Y-%m-%d %H:%M} UTC; "
        f"signed with {signing.source}.",
        soft_wrap=True,
    )
    if json:
        made = orjson.dumps(
            {
                "token": made,
                "role": role,
                "orgId": claims.org_id,
                "subject": claims.subject,
                "expiresAt": f"{ends_at:%Y-%m-%dT%H:%M:%SZ}",
            }
        ).decode()
    sys.stdout.write(f"{made}\n")


def _org(role: str, text: str | None) -> str | None:
    if role == "service":
        if text is not None:
            raise BadInputError("The role service has no organisation; leave out --org.")
        return None
    if text is None:
        raise BadInputError("The role tenant needs its organisation: --org with a UUID.")
    try:
        return str(uuid.UUID(text))
    except ValueError as exc:
        raise BadInputError(f"{text!r} is no UUID.") from exc


def _seconds(ttl: str) -> int:
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", ttl)
    seconds = int(match[1]) * _UNITS_S[match[2]] if match else 0
    if not _SHORTEST_S <= seconds <= _LONGEST_S:
        raise BadInputError(f"--ttl must be a time such as 15m, 8h or 30d, not {ttl!r}.")
    return seconds
