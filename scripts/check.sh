#!/usr/bin/env bash
# All checks that need no run of a pipeline; goes through all of them and says which failed.
set -uo pipefail
cd "$(dirname "$0")/.."
tools=.venv/tools/bin client=.venv/client/bin/python
failed=()

check() {
  local name=$1 output
  shift
  local begun=$SECONDS
  if output=$("$@" 2>&1); then
    printf '%-28s ok  %2d s\n' "$name" $((SECONDS - begun))
  else
    printf '%-28s FAILED\n%s\n' "$name" "$output"
    failed+=("$name")
  fi
}

check "style (ruff)" "$tools/ruff" check --quiet --output-format=concise .
check "format (ruff)" "$tools/ruff" format --check .
check "types (mypy)" "$tools/python" -m mypy --python-executable "$client"
check "imports (import-linter)" env PYTHONPATH=. "$tools/python" "$tools/lint-imports"
check "component specs" "$client" -m pytest -q tests/test_specs.py
check "generated pages" "$client" -m scripts.pages.stages_page --check
check "locks" scripts/lock.sh --check

if [ ${#failed[@]} -gt 0 ]; then
  echo "error: failed: ${failed[*]}; style and format are mended by: make fmt" >&2
  exit 1
fi
