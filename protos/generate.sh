#!/bin/sh
# Generates ringback/metrics/v1 from the contract. Run it as `make generate`.
set -eu
cd "$(dirname "$0")/.."
BIN=$PWD/.venv/bin
OUT=${1:-.}
# google/api/*.proto come with googleapis-common-protos.
THIRD_PARTY=$("$BIN/python" -c 'import google.api, pathlib; print(pathlib.Path(*google.api.__path__).parents[1])')
mkdir -p "$OUT/ringback/metrics/v1"
protoc() {
    PATH="$BIN:$PATH" "$BIN/python" -m grpc_tools.protoc -Iprotos -I"$THIRD_PARTY" "$@"
}
protoc --python_out="$OUT" --mypy_out=quiet:"$OUT" protos/ringback/metrics/v1/*.proto
protoc --grpc_python_out="$OUT" --mypy_grpc_out=quiet:"$OUT" protos/ringback/metrics/v1/*_service.proto
# The comments are only here; they become the descriptions of the OpenAPI document.
SET=$(mktemp)
trap 'rm -f "$SET"' EXIT
protoc --include_source_info --include_imports --descriptor_set_out="$SET" protos/ringback/metrics/v1/*_service.proto
"$BIN/python" -m protos.openapi "$SET" "$OUT/ringback/metrics/v1/openapi.json"
