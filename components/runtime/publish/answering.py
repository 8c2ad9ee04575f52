"""Answers a run that waits for a person, where its volume is: `python -m components.runtime.publish.answering`.

What was asked and answered, or why it was refused, is printed as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from components.runtime.errors import InputError, TransientError
from components.runtime.publish import approval, mirror


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--boundary", required=True, help="what the line with the JSON begins with")
    parser.add_argument("--directory", required=True, help="the serving directory")
    parser.add_argument("--run", required=True)
    parser.add_argument("--answer", required=True, help="JSON with approved, by and why")
    given = parser.parse_args(argv)
    try:
        place = mirror.folder_of(given.directory)
        question, answer = approval.answer_run([place], given.run, **json.loads(given.answer))
        told: dict[str, Any] = {"question": asdict(question), "answer": asdict(answer)}
    except (InputError, TransientError) as error:
        told = {"refused": str(error)}
    except PermissionError as error:
        told = {"refused": f"{given.directory}: the serving directory is not writable ({error.strerror})"}
    sys.stdout.write(f"{given.boundary} {json.dumps(told)}\n")


if __name__ == "__main__":
    main()
