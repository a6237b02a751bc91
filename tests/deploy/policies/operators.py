"""The labels of pods that operators make of their objects, as their sources have them."""

from collections.abc import Iterator

from tests.deploy.rendered import Manifests, of_kind

Labels = dict[str, str]


def operators_pods(manifests: Manifests) -> list[Labels]:
    """Values in an object take precedence over its operator's defaults."""
    return [
        *_rabbitmq(manifests),
        *_postgresql(manifests),
        *_pooler(manifests),
        *_solver(manifests),
    ]


def _rabbitmq(manifests: Manifests) -> Iterator[Labels]:
    for one in of_kind(manifests, "RabbitmqCluster"):
        template = one["spec"]["override"]["statefulSet"]["spec"]["template"]
        yield {
            "app.kubernetes.io/name": one["metadata"]["name"],
            "app.kubernetes.io/component": "rabbitmq",
            "app.kubernetes.io/part-of": "rabbitmq",
            **template["metadata"]["labels"],
        }


def _postgresql(manifests: Manifests) -> Iterator[Labels]:
    for one in of_kind(manifests, "Cluster"):
        own = {
            "cnpg.io/cluster": one["metadata"]["name"],
            "app.kubernetes.io/name": "postgresql",
            "app.kubernetes.io/component": "database",
            "app.kubernetes.io/managed-by": "cloudnative-pg",
        }
        # An instance, and a job that creates one: what is inherited does not reach its pod.
        yield one["spec"]["inheritedMetadata"]["labels"] | own | {"cnpg.io/podRole": "instance"}
        yield own


def _pooler(manifests: Manifests) -> Iterator[Labels]:
    for one in of_kind(manifests, "Pooler"):
        yield {
            "cnpg.io/poolerName": one["metadata"]["name"],
            "app.kubernetes.io/name": "postgresql",
            "app.kubernetes.io/component": "pooler",
        }


def _solver(manifests: Manifests) -> Iterator[Labels]:
    for one in of_kind(manifests, "Ingress"):
        if "cert-manager.io/cluster-issuer" in one["metadata"].get("annotations", {}):
            yield {"acme.cert-manager.io/http01-solver": "true"}
