"""The secrets of compose.yaml: refuse public defaults when others can connect, or make new ones.

python3 own_secrets.py check                 exit with 1 and the reason if others could know them
python3 own_secrets.py make > .env           new ones; Compose reads this file beside compose.yaml

It runs alone in a container, so it needs only Python.
"""

import ipaddress
import os
import re
import secrets
import sys
from collections.abc import Iterator, Mapping

#: How each default of compose.yaml begins; anyone with the repository knows them all.
KNOWN = "local-only-"

#: Passwords in URLs, so only letters, digits, and characters that need no escaping there.
PASSWORDS = (
    "DATABASE_PASSWORD",
    "GATEWAY_PASSWORD",
    "PROCESSOR_PASSWORD",
    "METRICS_PASSWORD",
    "TOPOLOGY_PASSWORD",
    "GRAFANA_READER_PASSWORD",
    "GRAFANA_ADMIN_PASSWORD",
)
SECRETS = (*PASSWORDS, "RINGBACK_VAPI_SECRET", "RINGBACK_JWT_SECRET")

_FITS_AN_ADDRESS = re.compile(r"[A-Za-z0-9._~-]+")
_BYTES = 32


def refusals(environ: Mapping[str, str]) -> Iterator[str]:
    """Give a sentence for each problem that must prevent the start."""
    for name in PASSWORDS:
        if not _FITS_AN_ADDRESS.fullmatch(environ.get(name, "")):
            yield f"{name} may contain only letters, digits and . - _ ~, and must not be empty."
    bind = environ.get("BIND_ADDRESS", "")
    try:
        is_local = ipaddress.ip_address(bind.strip("[]")).is_loopback
    except ValueError:
        yield f"BIND_ADDRESS is {bind!r}. It must be an IP address such as 127.0.0.1."
        return
    known = [name for name in SECRETS if environ.get(name, "").startswith(KNOWN)]
    if known and not is_local:
        yield (
            f"BIND_ADDRESS is {bind}, which other machines can reach, but these secrets are the "
            f"public defaults: {', '.join(known)}. Create your own with "
            "`python3 deploy/docker/own_secrets.py make > deploy/docker/.env`."
        )


def made() -> Iterator[str]:
    """A line of .env for each secret."""
    for name in SECRETS:
        yield f"{name}={secrets.token_hex(_BYTES)}"


def main() -> int:
    match sys.argv[1:]:
        case ["check"]:
            found = list(refusals(os.environ))
            print("\n".join(found), file=sys.stderr) if found else print("The secrets are fine.")
            return 1 if found else 0
        case ["make"]:
            print("\n".join(made()))
            return 0
        case _:
            print("Usage: own_secrets.py check|make", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())
