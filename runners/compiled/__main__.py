"""Compiles a model's pipeline for another process, and prints it: `python -m runners.compiled FOLDER [MODULE]`."""

from __future__ import annotations

import sys

from components.runtime.errors import classify
from runners.compiled.pipelines import compiled
from runners.settings.model import load


def main() -> int:
    """Returns the exit code; what a person can mend is the last line on standard error."""
    folder, module = sys.argv[1:]
    try:
        sys.stdout.write(compiled(load(folder, module)))
    except Exception as error:
        fault = classify(error)
        if fault is None:
            raise
        print(fault, file=sys.stderr)
        return fault.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
