#!/usr/bin/env bash
# Makes one environment from its lock: environment.sh PYTHON .venv/NAME/STAMP LOCKS
set -euo pipefail
python=$1 stamp=$2 locks=$3
folder=$(dirname "$stamp")
name=$(basename "$folder")
uv=.venv/tools/bin/uv

echo "setting up: environment $name, $(grep -c == "$locks/$name.txt") packages"
# An installer that was killed can leave a package that looks whole, so such an environment is made from nothing.
if [ -e "$folder.unfinished" ] || ! "$folder/bin/python" -c '' 2> /dev/null; then
  mkdir -p .venv && touch "$folder.unfinished"
  "$uv" venv --quiet --clear --python "$python" "$folder"
fi
touch "$folder.unfinished"
rm -f "$folder"/.made-from-*
"$uv" pip sync --quiet --python "$folder/bin/python" --require-hashes --compile-bytecode "$locks/$name.txt" "$locks/test.txt"
# A kernel finds the project wherever its notebook lies: the checkout, from the folder of the packages.
[ "$name" != notebook ] || echo ../../../../.. > "$folder"/lib/python3.11/site-packages/millrace.pth
touch "$stamp"
rm -f "$folder.unfinished"
