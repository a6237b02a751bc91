#!/bin/sh
# Replaces every gateway and every processor, and waits for the new ones.
set -eu
for workload in statefulset/gateway deployment/processor; do
    kubectl -n ringback rollout restart "$workload"
    kubectl -n ringback rollout status "$workload" --timeout=10m
done
