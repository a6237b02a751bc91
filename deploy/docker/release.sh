#!/bin/sh
# Builds the images on today's base, pushes them with SBOM and provenance, and signs them by digest.
#
#   deploy/docker/release.sh REGISTRY/
#
# Needs docker with buildx, cosign, and a login at the registry.
set -eu

cd "$(dirname "$0")/../.."
[ $# -eq 1 ] || { echo "Usage: deploy/docker/release.sh REGISTRY/" >&2; exit 1; }
# A registry takes no capital letters, and an owner's name may have some.
registry=$(echo "$1" | tr '[:upper:]' '[:lower:]')
base=$(.venv/bin/python -c 'from deploy.docker.images import BASE; print(BASE)')
digest=$(docker buildx imagetools inspect "$base" --format '{{.Manifest.Digest}}')
exec .venv/bin/python -m deploy.docker.images --release --sign --registry "$registry" --base "$base@$digest"
