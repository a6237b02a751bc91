"""Tests for deploy.docker.proof.stages: what a Dockerfile says."""

from deploy.docker.proof.stages import image, lineage, stages

DOCKERFILE = """\
ARG BASE=python:3
FROM ${BASE} AS build
WORKDIR /src
# A comment is no step.
RUN one \\
    && two

FROM ${BASE} AS run
ARG VERSION=0
ENV PATH=/opt/bin:$PATH \\
    HOME=/nonexistent
LABEL version="${VERSION}"
USER 7:8

FROM run AS gateway
HEALTHCHECK --interval=10s CMD ["check", "gateway"]
ENTRYPOINT ["gateway"]
CMD ["--port", "1"]

FROM run AS job
HEALTHCHECK NONE
"""

STAGES = stages(DOCKERFILE)


def test_a_target_is_built_on_the_stages_below() -> None:
    """An image that is none of ours ends the line."""
    assert [stage.name for stage in lineage(STAGES, "gateway")] == ["run", "gateway"]
    assert STAGES["run"].base == "${BASE}"


def test_steps_stay_in_order() -> None:
    """Lines that go on are one step, comments none."""
    assert [(step.instruction, step.value.split()) for step in STAGES["build"].steps] == [
        ("WORKDIR", ["/src"]),
        ("RUN", ["one", "&&", "two"]),
    ]


def test_a_container_is_told_what_all_its_stages_say() -> None:
    """Variables are filled in from arguments and from the base."""
    told = image(STAGES, "gateway", path="/bin")

    assert told.env == {"PATH": "/opt/bin:/bin", "HOME": "/nonexistent"}
    assert told.labels == {"version": "0"}
    assert (told.user, told.workdir) == ("7:8", "/")
    assert (told.entrypoint, told.command) == (["gateway"], ["--port", "1"])
    assert told.health == ["check", "gateway"]


def test_no_health_check_is_none() -> None:
    """A job has its exit status."""
    assert image(STAGES, "job").health == []
