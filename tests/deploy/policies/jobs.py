"""What runs to an end comes to one, and does not stay for ever."""

from collections.abc import Iterator

from tests.deploy.rendered import Manifest, Manifests, of_kind


def ends(manifests: Manifests) -> Iterator[str]:
    """A number of tries and a time for all of them; and somebody cleans up."""
    for one in of_kind(manifests, "Job"):
        yield from _limits(one, one["spec"])
        if "ttlSecondsAfterFinished" not in one["spec"]:
            yield f"Job/{one['metadata']['name']} stays for ever"
    for one in of_kind(manifests, "CronJob"):
        spec, name = one["spec"], f"CronJob/{one['metadata']['name']}"
        yield from _limits(one, spec["jobTemplate"]["spec"])
        if spec.get("concurrencyPolicy") != "Forbid":
            yield f"{name} may run beside itself"
        # Without it a hundred starts that were missed end it for good.
        if not spec.get("suspend") and "startingDeadlineSeconds" not in spec:
            yield f"{name} may never start again after a long outage"


def _limits(manifest: Manifest, spec: Manifest) -> Iterator[str]:
    name = f"{manifest['kind']}/{manifest['metadata']['name']}"
    if not {"backoffLimit", "activeDeadlineSeconds"} <= {*spec}:
        yield f"{name} may go on for ever"
    if spec["template"]["spec"].get("restartPolicy") not in {"Never", "OnFailure"}:
        yield f"{name} is no job"
