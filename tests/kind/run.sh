#!/bin/sh
# Applies the dev overlay to a new kind cluster, sends webhooks through the Service, and replaces the
# gateways under load: no webhook may be refused. Needs docker, kind and kubectl, and removes the
# cluster at the end.
#
#   make smoke-kind
set -eu

cd "$(dirname "$0")/../.."
PYTHON=.venv/bin/python
VERSION=$("$PYTHON" -c 'import ringback; print(ringback.__version__)')
SECRETS=deploy/k8s/overlays/dev/secrets
FOLDER=$(mktemp -d)
FORWARD=

finish() {
    status=$?
    [ -z "$FORWARD" ] || kill "$FORWARD" 2>/dev/null || true
    if [ "$status" -ne 0 ]; then
        kubectl -n ringback get all,events || true
        kubectl -n ringback logs -l app.kubernetes.io/name=ringback --all-containers --tail=50 --prefix || true
    fi
    kind delete cluster --name ringback || true
    rm -rf "$FOLDER"
    exit "$status"
}
trap finish EXIT

secret() {
    sed -n "s/^$2=//p" "$SECRETS/$1.env"
}

kind create cluster --config tests/kind/cluster.yaml --wait 180s
for image in ringback ringback-gateway ringback-processor ringback-metrics; do
    kind load docker-image --name ringback "$image:$VERSION"
done

kubectl apply -k deploy/k8s/overlays/dev
kubectl -n ringback wait --for=condition=complete job -l app.kubernetes.io/component=setup --timeout=15m
# One gateway cannot be replaced without refusing; the overlay runs one of each.
kubectl -n ringback scale statefulset/gateway --replicas=2
kubectl -n ringback patch service gateway --patch \
    '{"spec": {"type": "NodePort", "ports": [{"name": "webhooks", "port": 8080, "targetPort": "webhooks", "nodePort": 30080}]}}'
for workload in statefulset/gateway deployment/processor deployment/metrics; do
    kubectl -n ringback rollout status "$workload" --timeout=10m
done
# Both families are in every Service.
kubectl -n ringback get services -o jsonpath='{range .items[*]}{.metadata.name} {.spec.ipFamilies}{"\n"}{end}' |
    tee "$FOLDER/families"
if grep -v 'IPv4.*IPv6\|IPv6.*IPv4' "$FOLDER/families"; then
    echo "These Services have only one address family, in a cluster with both." >&2
    exit 1
fi

kubectl -n ringback port-forward deployment/metrics 8081 50051 >"$FOLDER/forward.log" 2>&1 &
FORWARD=$!
RINGBACK_VAPI_SECRET=$(secret gateway-secrets vapi-secret)
RINGBACK_JWT_SECRET=$(secret metrics-secrets jwt-secret)
export RINGBACK_VAPI_SECRET RINGBACK_JWT_SECRET
"$PYTHON" -m deploy.docker.smoke
"$PYTHON" -m chaos during --url http://127.0.0.1:8080/api/webhooks/vapi \
    --ledger "$FOLDER/rollout.jsonl" --metrics 127.0.0.1:50051 -- sh tests/kind/rollout.sh
