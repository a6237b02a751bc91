"""Ask the service in this container for its health, with only the standard library.

python -m ringback.runtime.observability.health_check gateway            is its event loop running?
python -m ringback.runtime.observability.health_check gateway --ready    does it accept work?
"""

import http.client
import ipaddress
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

DEFAULT_PORTS = {"gateway": 9101, "processor": 9102, "metrics": 9103}
"""Default ports of /livez and /readyz.

They are not imported from the settings, because the import takes longer than the check, which runs
every few seconds.
"""

EXIT_HEALTHY = 0
EXIT_UNHEALTHY = 1
EXIT_BAD_INPUT = 2

_TIMEOUT_S = 4.0
_USAGE = (
    "Usage: python -m ringback.runtime.observability.health_check"
    " gateway|processor|metrics [--ready]"
)


class Question(NamedTuple):
    host: str
    port: int
    path: str


def question(arguments: Sequence[str], environ: Mapping[str, str]) -> Question:
    """What to ask for these arguments, at the address in `environ`. Raises ValueError."""
    if not arguments or arguments[0] not in DEFAULT_PORTS or arguments[1:] not in ([], ["--ready"]):
        raise ValueError(_USAGE)
    service = arguments[0]
    setting = f"RINGBACK_{service.upper()}_OBSERVABILITY_PORT"
    port = environ.get(setting, "").strip() or str(DEFAULT_PORTS[service])
    host = environ.get("RINGBACK_OBSERVABILITY_HOST", "").strip()
    path = "/readyz" if arguments[1:] else "/livez"
    if not port.isdecimal():
        raise ValueError(f"{setting}: must be the number of a port")
    return Question(_to_ask(host), int(port), path)


def _to_ask(listens_on: str) -> str:
    """An address that reaches a server listening on this one; every address includes loopback."""
    listens_on = listens_on.partition(",")[0].strip().strip("[]")
    if listens_on in {"", "*", "::"}:
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(listens_on)
    except ValueError:
        return listens_on
    if not address.is_unspecified:
        return listens_on
    return "127.0.0.1" if address.version == 4 else "::1"  # ruff: ignore[magic-value-comparison]  # IPv4


def ask(asked: Question) -> tuple[int, str]:
    """The exit status, and a sentence that explains it."""
    connection = http.client.HTTPConnection(asked.host, asked.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", asked.path)
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as exc:
        return EXIT_UNHEALTHY, f"{asked.host}:{asked.port} does not answer ({type(exc).__name__})"
    finally:
        connection.close()
    return (EXIT_HEALTHY if answer.status == http.HTTPStatus.OK else EXIT_UNHEALTHY), body


def main() -> int:
    try:
        asked = question(sys.argv[1:], os.environ)
    except ValueError as exc:
        print(exc, file=sys.stderr)  # ruff: ignore[print]
        return EXIT_BAD_INPUT
    status, explanation = ask(asked)
    print(explanation)  # ruff: ignore[print]  # an orchestrator keeps what its check printed
    return status


if __name__ == "__main__":
    sys.exit(main())
