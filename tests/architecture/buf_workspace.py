"""A folder in which buf can read the contract without the network.

As a program it renews what the contract is compared with: the last release.

    python -m tests.architecture.buf_workspace
"""

# ruff: file-ignore[suspicious-subprocess-import] - running buf is what this file is for.
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import google.api

from tests.architecture.source import ROOT

PROTOS = ROOT / "protos"
RELEASED = PROTOS / "released.binpb"

_BUF = Path(sys.executable).parent / "buf"
_IMPORTED = ("annotations.proto", "http.proto", "field_behavior.proto")


def make_workspace(folder: Path) -> Path:
    """Copy the contract and what it imports to `folder`; give where the contract is."""
    protos = folder / "protos"
    shutil.copytree(PROTOS / "ringback", protos / "ringback")
    shutil.copy(PROTOS / "buf.yaml", folder)
    google_api = folder / "third_party" / "google" / "api"
    google_api.mkdir(parents=True)
    for name in _IMPORTED:
        shutil.copy(Path(*google.api.__path__) / name, google_api)
    return protos


def run_buf(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run buf in a workspace, whatever its answer is."""
    return subprocess.run(
        [_BUF, *arguments],
        cwd=folder,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
        check=False,
        capture_output=True,
        text=True,
    )


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        make_workspace(Path(name))
        result = run_buf(Path(name), "build", "-o", str(RELEASED), "--exclude-source-info")
    sys.stderr.write(result.stderr)
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
