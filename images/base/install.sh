#!/bin/sh
# Installs the environment LOCK into /opt/venv; runs in the builder of images/base/Dockerfile.
set -eu
if [ -s /run/secrets/pip ]; then
  export PIP_CONFIG_FILE=/run/secrets/pip
fi
# uv reads no pip.conf: what it says there, or in the machine's own, is handed on.
setting() { python -m pip config get "global.$1" 2> /dev/null || true; }
index=$(setting index-url) extra=$(setting extra-index-url) certificate=$(setting cert)
[ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
[ -z "$extra" ] || export UV_INDEX="$extra"
[ ! -s "$certificate" ] || export SSL_CERT_FILE="$certificate"

# Tools of the builder, which stay in it: one package of the lock data comes as C++ source only (pyfarmhash), and
# TensorFlow's libraries come with their symbol tables.
case $LOCK in
  data) tools="g++ libc6-dev binutils" ;;
  ml* | serving | export) tools=binutils ;;
  *) tools= ;;
esac
if [ -n "$tools" ]; then
  apt-get update -qq
  # shellcheck disable=SC2086 (a list)
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $tools > /dev/null
fi

python -m pip install --quiet --target /opt/uv --no-deps --require-hashes -r /locks/uv.txt
export PYTHONPATH=/opt/uv
python -m uv venv --quiet --python "$(command -v python)" /opt/venv
python -m uv pip sync --quiet --python /opt/venv/bin/python --require-hashes "/locks/$LOCK.txt"

# C++ headers, the libraries' own tests, and symbol tables: no stage compiles, tests or debugs them, and they are a
# quarter of the whole.
cd /opt/venv/lib/python3.11/site-packages
rm -rf tensorflow/include pyarrow/include clang
find . -path '*/tests' \( -path './pandas/*' -o -path './pyarrow/*' -o -path './scipy/*' -o -path './matplotlib/*' \
  -o -path './google/genai/*' \) -prune -exec rm -rf {} +
[ ! -d tensorflow ] || find tensorflow -name 'lib*.so*' -size +10M -exec strip --strip-unneeded {} +

# Compiled here because nothing can be written there. By hash and unchecked: the same bytes in every build.
# A library may carry files that are not for this Python; those are no fault.
python -m compileall -q -j 0 --invalidation-mode unchecked-hash . > /dev/null || true
rm -f /opt/venv/.lock
