"""One run of schemathesis against a server, by all of its checks."""

# ruff: file-ignore[suspicious-subprocess-import] - schemathesis is a program.
import subprocess
import sys
from pathlib import Path

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


def tried(
    document: Path | str, folder: Path, config: str, *options: str
) -> subprocess.CompletedProcess[str]:
    """Try what an OpenAPI document describes; `folder` gets the configuration."""
    file = folder / "schemathesis.toml"
    file.write_text(config, encoding="utf-8")
    return subprocess.run(
        [
            SCHEMATHESIS,
            f"--config-file={file}",
            "run",
            document,
            "--checks=all",
            "--continue-on-failure",
            "--no-color",
            *options,
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=1200,
    )
