#!/usr/bin/env bash
# Prints the path of the Python that $1 names, 3.11 or what $2 says; says what is wrong where it is not one, and by $3 how
# another is named.
set -euo pipefail
name=$1 version=${2:-3.11} named=${3:-make setup PYTHON}

fail() {
  echo "error: $1" >&2
  exit 65
}

system=$(uname -sm)
[ "$system" = "Linux x86_64" ] || fail "the locked environments are for Linux on x86_64, this is $system; use such a machine or a container of it"
command -v "$name" > /dev/null || fail "no $name found; install Python $version, or name it: $named=/path/to/python$version"
# A shim of pyenv exists for versions that are not chosen too: only running it tells.
found=$("$name" -c 'import sys; print("%d.%d %s" % (*sys.version_info[:2], sys.executable))' 2> /dev/null) ||
  fail "$name does not run: $("$name" --version 2>&1 | head -n 1); install Python $version, or name it: $named=/path/to/python$version"
[ "${found%% *}" = "$version" ] || fail "$name is Python ${found%% *}, the locks are for $version; name one: $named=/path/to/python$version"
"$name" -c 'import ensurepip, venv' 2> /dev/null ||
  fail "$name lacks the modules venv and ensurepip; install the package python$version-venv, or name another: $named=/path/to/python$version"
echo "${found#* }"
