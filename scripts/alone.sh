#!/usr/bin/env bash
# Makes something under .venv that no other make is making: alone.sh STAMP COMMAND...
#
# Two makes at once would each take the other's half-made environment for a broken one, and remove it.
set -euo pipefail
stamp=$1
shift
mkdir -p .venv
exec 9> .venv/.lock
if ! flock --nonblock 9; then
  echo "waiting for another make that sets up an environment"
  flock 9
fi
# The other one may have made it.
[ -e "$stamp" ] || "$@" 9>&-
