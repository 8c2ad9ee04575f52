#!/usr/bin/env bash
# Prints the path of the Python 3.11 that $1 names; says what is wrong where it is not one.
set -euo pipefail
name=$1

fail() {
  echo "error: $1" >&2
  exit 65
}

system=$(uname -sm)
[ "$system" = "Linux x86_64" ] || fail "the locked environments are for Linux on x86_64, this is $system; use such a machine or a container of it"
command -v "$name" > /dev/null || fail "no $name found; install Python 3.11, or name it: make setup PYTHON=/path/to/python3.11"
# A shim of pyenv exists for versions that are not chosen too: only running it tells.
found=$("$name" -c 'import sys; print("%d.%d %s" % (*sys.version_info[:2], sys.executable))' 2> /dev/null) ||
  fail "$name does not run: $("$name" --version 2>&1 | head -n 1); install Python 3.11, or name it: make setup PYTHON=/path/to/python3.11"
[ "${found%% *}" = 3.11 ] || fail "$name is Python ${found%% *}, the locks are for 3.11; name one: make setup PYTHON=/path/to/python3.11"
"$name" -c 'import ensurepip, venv' 2> /dev/null ||
  fail "$name lacks the modules venv and ensurepip; install the package python3.11-venv, or name another: make setup PYTHON=/path/to/python3.11"
echo "${found#* }"
