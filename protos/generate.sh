#!/bin/sh
# Generates ringback/metrics/v1 and docs/reference/grpc.md from the contract. Run it as `make generate`.
set -eu
cd "$(dirname "$0")/.."
BIN=$PWD/.venv/bin
OUT=${1:-.}
mkdir -p "$OUT/ringback/metrics/v1"
protoc() {
    PATH="$BIN:$PATH" "$BIN/python" -m grpc_tools.protoc -Iprotos -Iprotos/third_party "$@"
}
protoc --python_out="$OUT" --mypy_out=quiet:"$OUT" protos/ringback/metrics/v1/*.proto
protoc --grpc_python_out="$OUT" --mypy_grpc_out=quiet:"$OUT" protos/ringback/metrics/v1/*_service.proto
# The comments are only here; they become the descriptions of the OpenAPI document.
SET=$(mktemp)
trap 'rm -f "$SET"' EXIT
protoc --include_source_info --include_imports --descriptor_set_out="$SET" protos/ringback/metrics/v1/*_service.proto
"$BIN/python" -m protos.openapi "$SET" "$OUT/ringback/metrics/v1/openapi.json"
"$BIN/python" -m docs.site.grpc_page "$SET" "$OUT/docs/reference/grpc.md"
