#!/bin/sh
# Starts deploy/docker/compose.yaml, sends webhooks, checks Prometheus and every panel of Grafana,
# and removes it with its volumes. GRAFANA=12 runs that major version instead of compose.yaml's.
#
#   make smoke-compose
set -eu

cd "$(dirname "$0")/../.."
PYTHON=.venv/bin/python
set -- --file deploy/docker/compose.yaml
other=tests/compose/grafana-${GRAFANA:-13}.yaml
[ ! -e "$other" ] || set -- "$@" --file "$other"

finish() {
    status=$?
    [ "$status" -eq 0 ] || docker compose "$@" logs --tail=100 || true
    docker compose "$@" down --volumes || true
    exit "$status"
}
trap 'finish "$@"' EXIT

RINGBACK_VAPI_SECRET=${RINGBACK_VAPI_SECRET:-local-only-vapi}
RINGBACK_JWT_SECRET=${RINGBACK_JWT_SECRET:-local-only-key-for-the-tokens-of-callers}
export RINGBACK_VAPI_SECRET RINGBACK_JWT_SECRET
docker compose "$@" up --build --wait
"$PYTHON" -m deploy.docker.smoke --prometheus "http://127.0.0.1:${PROMETHEUS_PORT:-9190}"
"$PYTHON" -m deploy.grafana.check --url "http://127.0.0.1:${GRAFANA_PORT:-3000}" \
    --password "${GRAFANA_ADMIN_PASSWORD:-local-only-grafana}"
