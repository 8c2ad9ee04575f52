"""A worker of a training in a pod of its own, which a TrainJob makes: `python -m components.train.worker_pod FOLDER`.

The folder is what the task's pod has put there (`handing_over`); which worker this is Kubernetes says to each pod of
an indexed Job (https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from components.runtime.errors import EXIT_INPUT
from components.runtime.launch.worker_forks import say
from components.runtime.module_file import workers
from components.runtime.stage.executor import EXECUTOR_INPUT_OPTION, run_stage
from components.train import handing_over

INDEX_VARIABLE = "JOB_COMPLETION_INDEX"


def main(argv: Sequence[str]) -> None:
    """Runs the stage as one of its workers; does not return."""
    folder = Path(argv[0])
    scratch = Path(tempfile.mkdtemp(prefix="millrace-worker-"))
    try:
        addresses, executor_input = handing_over.taken(folder, scratch)
    except OSError as error:
        say(
            f"{folder}: {error.strerror}; the task's pod has put the inputs there, on a volume that the workers' nodes "
            "have to see too: with several nodes a claim with ReadWriteMany"
        )
        sys.exit(EXIT_INPUT)
    # (The task's own pod is worker 0, and the Job has the others.)
    os.environ[workers.VARIABLE] = workers.configuration(addresses, int(os.environ[INDEX_VARIABLE]) + 1)
    file = scratch / "executor_input.json"
    file.write_text(json.dumps(executor_input))
    run_stage("components.train.train:train", [EXECUTOR_INPUT_OPTION, f"@{file}"])


if __name__ == "__main__":
    main(sys.argv[1:])
