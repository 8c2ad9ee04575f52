"""Runs the stages of a container when they are asked for: `python -m components.runtime.launch.fused_server STAGES`.

STAGES is JSON, as `FusedStages` takes it. The protocol is that of warm.py, on standard input and output; the container
ends when its input is closed.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from components.runtime.launch.fused import FusedStages

_PACKAGE = "components."


def serve(stages: FusedStages) -> None:
    """Answers requests until there are no more, each in a thread of its own."""
    answers = threading.Lock()

    def run(request: dict[str, Any], stage: str) -> None:
        completed = stages.run(stage, ["python", *request["argv"]], Path(request["log"]))
        event = {"id": request["id"], "status": completed.exit_code << 8, "max_rss": completed.peak_memory_bytes}
        with answers:
            os.write(sys.stdout.fileno(), json.dumps(event).encode() + b"\n")

    for line in sys.stdin:
        request = json.loads(line)
        stage = request["argv"][1].removeprefix(_PACKAGE)
        # Here, for the kernel ends a process that asks for it with the thread that started it, not with the program.
        stages.prepare(stage)
        threading.Thread(target=run, args=(request, stage), daemon=True).start()


def main() -> None:
    """Serves the stages that the command line names."""
    stages = FusedStages(json.loads(sys.argv[1]), aloud=False)
    try:
        serve(stages)
    finally:
        stages.close()


if __name__ == "__main__":
    main()
