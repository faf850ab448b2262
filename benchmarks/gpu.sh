#!/usr/bin/env bash
# Training step, features and queries on a machine with a GPU, in under ten minutes: rows in benchmarks/results/gpu.json.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-.venv/bin/python}
[ -x "$PYTHON" ] || { echo "There is no $PYTHON: run 'make install' first, or set PYTHON." >&2; exit 1; }
exec timeout 600 "$PYTHON" benchmarks/gpu.py "$@"
