"""Tests for deploy.docker.images: how images are built, and what is no release."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.docker.images import BASE, TARGETS, Plan, command, image_name, main, refusals, signature
from tests.support.compose import compose, variables
from tests.support.dockerfile import DOCKERFILE, image, stages

TEXT = DOCKERFILE.read_text(encoding="utf-8")
STAGES = stages(TEXT)
DIGEST = "python:3.13-slim-trixie@sha256:" + "0123456789abcdef" * 4
RELEASE = Plan(base=DIGEST, registry="registry.test/shop/", release=True, revision="a" * 40)


def test_a_complete_release_is_not_refused() -> None:
    """Base by digest, a commit, no changed files, a registry; it gets an SBOM and provenance."""
    words = command(RELEASE, "gateway")

    assert list(refusals(RELEASE)) == []
    assert {"--sbom=true", "--provenance=mode=max", "--push"} < set(words)


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ({"base": BASE}, "digest"),
        ({"base": "python@sha256:abc"}, "digest"),
        ({"base": DIGEST.upper()}, "digest"),
        ({"revision": "unknown"}, "no commit"),
        ({"changed": True}, "differ from the commit"),
        ({"registry": ""}, "registry"),
        ({"registry": "registry.test/shop"}, "slash"),
        ({"builder": "buildah"}, "SBOM"),
    ],
)
def test_an_incomplete_release_is_refused(part: dict[str, object], sentence: str) -> None:
    plan = replace(RELEASE, **part)  # type: ignore[arg-type]  # the table has the types

    (refusal,) = refusals(plan)

    assert sentence in refusal
    assert list(refusals(replace(plan, release=False))) == []


def test_the_command_refuses_before_it_builds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--release", "--registry", "registry.test/"]) == 1

    printed = capsys.readouterr()
    assert "names it by digest" in printed.err
    assert not printed.out


@pytest.mark.parametrize("builder", ["docker", "buildah"])
def test_every_image_is_built_from_its_target(builder: str) -> None:
    """By its name, its version, and with all arguments of the Dockerfile."""
    taken = set(re.findall(r"^ARG (\w+)", TEXT, re.MULTILINE))
    plan = replace(RELEASE, builder=builder, release=False)

    for target in TARGETS:
        words = command(plan, target)
        given = [words[at + 1] for at, word in enumerate(words) if word == "--build-arg"]
        assert {one.partition("=")[0] for one in given} == taken
        assert words[words.index("--target") + 1] == target
        title = image(STAGES, target).labels["org.opencontainers.image.title"]
        assert image_name(plan, target) == f"registry.test/shop/{title}:{plan.version}"
        assert words[-1] == "."


def test_a_signed_release_signs_each_image_by_its_digest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The builder leaves the digest in a file, and cosign signs what it names."""
    plan = replace(RELEASE, digests=Path("/tmp/digests"))  # ruff: ignore[hardcoded-temp-file]  # not written
    words = command(plan, "gateway")

    assert words[words.index("--metadata-file") + 1] == "/tmp/digests/gateway"  # ruff: ignore[hardcoded-temp-file]  # as above
    assert signature(plan, "gateway", "sha256:1") == [
        *["cosign", "sign", "--yes", "registry.test/shop/ringback-gateway@sha256:1"]
    ]
    with pytest.raises(SystemExit):
        main(["--sign"])
    assert "--sign needs --release" in capsys.readouterr().err


def test_the_base_is_the_same_everywhere() -> None:
    assert f"ARG PYTHON_IMAGE={BASE}\n" in TEXT
    assert dict(variables())["PYTHON_IMAGE"] == BASE
    assert compose()["services"]["own-secrets"]["build"]["args"]["PYTHON_IMAGE"] == BASE
