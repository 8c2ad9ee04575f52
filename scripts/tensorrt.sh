#!/usr/bin/env bash
# Builds a TensorRT engine of an exported ONNX model, on the GPU that will run it: tensorrt.sh FOLDER ENGINE [OPTION ...]
# FOLDER is an export of the format onnx, with model.onnx and export.json; options go to trtexec, such as --fp16.
# MILLRACE_TENSORRT_BATCH is the largest number of rows at once, 64 where nothing is said.
set -euo pipefail
if [ $# -lt 2 ]; then
  echo "usage: scripts/tensorrt.sh FOLDER ENGINE [OPTION OF trtexec ...]" >&2
  exit 65
fi
folder=$1 engine=$2
shift 2
if [ ! -f "$folder/model.onnx" ] || [ ! -f "$folder/export.json" ]; then
  echo "error: $folder: no export of the format onnx; name a folder with model.onnx and export.json" >&2
  exit 65
fi
if ! command -v trtexec > /dev/null; then
  echo "error: trtexec is not installed; it comes with TensorRT 10, on a machine with an NVIDIA GPU" >&2
  exit 65
fi
# Every input has any number of rows, for which an engine wants the smallest, the usual and the largest shape.
shapes() {
  python3 - "$folder/export.json" "$1" << 'PYTHON'
import json, sys

contract, rows = json.load(open(sys.argv[1])), sys.argv[2]
shapes = []
for feature in contract["features"]:
    inner = feature["shape"][1:]
    if None in inner:
        sys.exit(f"error: {feature['feature']} has any number of values in a row, for which no engine is built here")
    shapes.append(f"{feature['input']}:{'x'.join([rows, *map(str, inner)])}")
print(",".join(shapes))
PYTHON
}
most=${MILLRACE_TENSORRT_BATCH:-64}
one=$(shapes 1) || exit 65
many=$(shapes "$most") || exit 65
exec trtexec --onnx="$folder/model.onnx" --saveEngine="$engine" \
  --minShapes="$one" --optShapes="$many" --maxShapes="$many" "$@"
