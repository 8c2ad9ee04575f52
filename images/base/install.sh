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

# One package of this lock comes as C++ source only (pyfarmhash). The compiler stays in the builder.
if [ "$LOCK" = data ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++ libc6-dev > /dev/null
fi

python -m pip install --quiet --target /opt/uv --no-deps --require-hashes -r /locks/uv.txt
export PYTHONPATH=/opt/uv
python -m uv venv --quiet --python "$(command -v python)" /opt/venv
python -m uv pip sync --quiet --python /opt/venv/bin/python --require-hashes "/locks/$LOCK.txt"

# C++ headers and the libraries' own tests: no stage compiles or tests them, and they are a fifth of the whole.
cd /opt/venv/lib/python3.11/site-packages
rm -rf tensorflow/include pyarrow/include pyarrow/tests pandas/tests clang

# Compiled here because nothing can be written there. By hash and unchecked: the same bytes in every build.
# A library may carry files that are not for this Python; those are no fault.
python -m compileall -q -j 0 --invalidation-mode unchecked-hash . > /dev/null || true
rm -f /opt/venv/.lock
