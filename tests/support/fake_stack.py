"""A real local stack with fake services, as a process: `fake_stack.py STATE_DIR [BAD_SERVICE]`."""

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path

from ringback.local.child import LocalStackError
from ringback.local.ports import LocalPorts
from ringback.local.stack import run_stack
from ringback.local.stack_service import service_specs

FAKE_SERVICE = Path(__file__).with_name("fake_service.py")


def main(state_dir: Path, bad_service: str) -> int:
    ports = LocalPorts.from_env(dict(os.environ))
    specs = [
        replace(
            spec,
            command=[sys.executable, "-c", "print('no such table'); raise SystemExit(3)"]
            if spec.name == bad_service
            else [sys.executable, str(FAKE_SERVICE), str(spec.observability_port)],
        )
        for spec in service_specs(ports.services)
    ]
    try:
        asyncio.run(run_stack(state_dir, services=specs))
    except LocalStackError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""))
