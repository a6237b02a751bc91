"""Build the images: for this machine, or as a release, which names its base by digest.

python -m deploy.docker.images                                  four images, tagged by the version
python -m deploy.docker.images --builder buildah                the same without a Docker engine
python -m deploy.docker.images --release --registry ghcr.io/me/ --base python@sha256:...
"""

import argparse
import json
import re
import shlex
import subprocess  # ruff: ignore[suspicious-subprocess-import]  # builders are programs
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import ringback

CHECKOUT = Path(__file__).parents[2]
TARGETS = ("gateway", "processor", "metrics", "ringback")
BASE = "python:3.13-slim-trixie"

_BY_DIGEST = re.compile(r"[a-z0-9][\w./:-]*@sha256:[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which images to build from what. `registry` is the prefix of the names, with its slash."""

    base: str = BASE
    registry: str = ""
    builder: str = "docker"
    release: bool = False
    version: str = ringback.__version__
    revision: str = "unknown"
    created: str = "1970-01-01T00:00:00Z"
    source: str = "unknown"
    changed: bool = False
    """Whether files differ from the commit."""
    digests: Path | None = None
    """The folder in which the builder leaves what it pushed; then the images are signed."""


def image_name(plan: Plan, target: str) -> str:
    name = target if target == "ringback" else f"ringback-{target}"
    return f"{plan.registry}{name}:{plan.version}"


def refusals(plan: Plan) -> Iterator[str]:
    """Give the reasons why this cannot be a release: its contents could not be identified later."""
    if not plan.release:
        return
    if not _BY_DIGEST.fullmatch(plan.base):
        yield f"The base is {plan.base!r}: a release names it by digest, such as {BASE}@sha256:...."
    if not _COMMIT.fullmatch(plan.revision):
        yield "There is no commit to build from."
    if plan.changed:
        yield "Files differ from the commit: commit them, or build without --release."
    if not plan.registry.endswith("/"):
        yield "A release needs a registry: give --registry, with a slash at its end."
    if plan.builder != "docker":
        yield "A release has an SBOM and its provenance, which only Docker's builder makes."


def command(plan: Plan, target: str) -> list[str]:
    """The command that builds the image of one target."""
    arguments = {
        "PYTHON_IMAGE": plan.base,
        "VERSION": plan.version,
        "REVISION": plan.revision,
        "CREATED": plan.created,
        "SOURCE": plan.source,
    }
    return [
        *_builder(plan),
        *["--file", "deploy/docker/Dockerfile", "--target", target],
        *[word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")],
        *(["--metadata-file", str(plan.digests / target)] if plan.digests else []),
        *["--tag", image_name(plan, target), "."],
    ]


def signature(plan: Plan, target: str, digest: str) -> list[str]:
    """The command that signs an image by its digest, with the identity of the workflow."""
    name, _, _ = image_name(plan, target).rpartition(":")
    return ["cosign", "sign", "--yes", f"{name}@{digest}"]


def _builder(plan: Plan) -> list[str]:
    if plan.builder == "buildah":
        # The OCI format does not support health checks.
        return ["buildah", "build", "--layers", "--format", "docker"]
    if plan.release:
        return ["docker", "buildx", "build", "--sbom=true", "--provenance=mode=max", "--push"]
    return ["docker", "build"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.docker.images")
    parser.add_argument("--base", default=BASE, help="the Python image to build on")
    parser.add_argument(
        "--registry", default="", help="prefix of the image names, with a slash at its end"
    )
    parser.add_argument("--builder", choices=("docker", "buildah"), default="docker")
    parser.add_argument(
        "--release",
        action="store_true",
        help="push; refuse if the contents could not be identified later",
    )
    parser.add_argument("--sign", action="store_true", help="sign each pushed image with cosign")
    parser.add_argument("--dry-run", action="store_true", help="only print the commands")
    given = parser.parse_args(arguments)
    if given.sign and not given.release:
        parser.error("--sign needs --release: only a pushed image has a digest to sign.")
    with tempfile.TemporaryDirectory(prefix="ringback-images-") as folder:
        return _build(_plan(given, Path(folder) if given.sign else None), dry_run=given.dry_run)


def _plan(given: argparse.Namespace, digests: Path | None) -> Plan:
    return Plan(
        digests=digests,
        base=given.base,
        registry=given.registry,
        builder=given.builder,
        release=given.release,
        revision=_git("rev-parse", "HEAD") or "unknown",
        created=_git("log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ")
        or "1970-01-01T00:00:00Z",
        source=_without_password(_git("remote", "get-url", "origin")) or "unknown",
        changed=bool(_git("status", "--porcelain")),
    )


def _build(plan: Plan, *, dry_run: bool) -> int:
    found = list(refusals(plan))
    if found:
        print("\n".join(found), file=sys.stderr)
        return 1
    for target in TARGETS:
        if not _ran(command(plan, target), dry_run=dry_run):
            return 1
        if plan.digests:
            digest = "sha256:..." if dry_run else _pushed_digest(plan.digests / target)
            if not _ran(signature(plan, target, digest), dry_run=dry_run):
                return 1
    return 0


def _pushed_digest(metadata: Path) -> str:
    return str(json.loads(metadata.read_text("utf-8"))["containerimage.digest"])


def _ran(line: Sequence[str], *, dry_run: bool) -> bool:
    print(shlex.join(line), flush=True)
    return dry_run or subprocess.run(line, check=False, cwd=CHECKOUT).returncode == 0


def _git(*arguments: str) -> str:
    """The output of git; empty without git or a commit."""
    environ = {"TZ": "UTC", "PATH": "/usr/local/bin:/usr/bin:/bin"}
    try:
        done = subprocess.run(
            ["git", *arguments],
            check=False,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            env=environ,
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _without_password(address: str) -> str:
    return re.sub(r"//[^/@]*@", "//", address)


if __name__ == "__main__":
    sys.exit(main())
