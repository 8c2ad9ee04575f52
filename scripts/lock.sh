#!/usr/bin/env bash
# Compiles images/locks/*.in; with --check only says whether a lock differs from what its input now gives.
#
# The present lock is the starting point, so versions stay where they are unless the input forbids them or --upgrade
# is given. That also makes the check stable: a new release somewhere changes nothing.
set -euo pipefail
cd "$(dirname "$0")/../images/locks"
uv=../../.venv/tools/bin/uv
check= options=()
for argument in "$@"; do
  case $argument in
    --check) check=1 ;;
    *) options+=("$argument") ;;
  esac
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
stale=
# Those that constrain others first.
for name in client ml $(basename -s .in -- *.in | LC_ALL=C sort | grep -vx -e client -e ml); do
  input=$name.in python=3.11
  case $name in
    client | data | ml | serving | space) extra=(--override overrides.txt) ;;
    # Images of stages that run elsewhere in a larger environment: the same versions in both.
    light | cloud | databases) extra=(--constraint client.txt) ;;
    # Runs pipelines as the client does.
    notebook) extra=(--override overrides.txt --constraint client.txt) ;;
    export) extra=(--override overrides.txt --constraint ml.txt) ;;
    ml-gpu) extra=(--override overrides-gpu.txt --constraint ml.txt) ;;
    test | samples | tables | servers) extra=(--no-deps) ;;
    # The last Python that TFX has a version for.
    tfx) extra=() python=3.10 ;;
    *) extra=() ;;
  esac
  [ ! -e "$name.txt" ] || cp "$name.txt" "$scratch/$name.txt"
  "$uv" pip compile --quiet --no-header --generate-hashes --python-version "$python" --python-platform x86_64-manylinux_2_36 \
    "${extra[@]}" "${options[@]}" "$input" -o "$scratch/$name.txt" > /dev/null
  if ! cmp -s "$name.txt" "$scratch/$name.txt"; then
    stale="$stale images/locks/$name.txt"
    [ -n "$check" ] || cp "$scratch/$name.txt" "$name.txt"
  fi
done
if [ -z "$stale" ]; then
  echo "locks are up to date"
elif [ -n "$check" ]; then
  echo "error: not what their .in files give:$stale; run: make lock" >&2
  exit 1
else
  echo "compiled anew:$stale"
fi
