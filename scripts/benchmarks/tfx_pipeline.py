"""What `make bench-tfx` measures beside ours: TFX's own components on the model taxi, run by its LocalDagRunner.

Runs in an environment with TFX, as `python scripts/benchmarks/tfx_pipeline.py DATA ROOT`: DATA is a folder of CSV
files, ROOT gets the artifacts. The last line that it prints is JSON: what the imports and each component took.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
MODEL = PROJECT / "models" / "taxi"
BEAM = ["--runner=FnApiRunner"]
"""What Beam's DirectRunner is: that one first tries to download another runner."""


def processor_seconds() -> float:
    """Of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


@contextlib.contextmanager
def measured(name: str, into: list[dict[str, Any]]) -> Iterator[None]:
    """Notes what happens inside: seconds, processor seconds, and the peak of this process's memory in bytes."""
    # Linux notes the peak from here on: proc(5), clear_refs.
    Path("/proc/self/clear_refs").write_text("5")
    begun, used = time.perf_counter(), processor_seconds()
    yield
    into.append(
        {
            "name": name,
            "seconds": time.perf_counter() - begun,
            "processors": processor_seconds() - used,
            "memory": peak_memory(),
        }
    )


def peak_memory() -> int:
    """The largest resident size of this process since `measured` began, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def main() -> None:
    """Measures, and prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("--train-steps", type=int, default=500)
    parser.add_argument("--eval-steps", type=int, default=50)
    arguments = parser.parse_args()
    # The model's code is for Python 3.11, which TFX does not have.
    datetime.UTC = datetime.timezone.utc  # type: ignore[misc] # noqa: UP017
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "0")
    sys.path[:0] = [str(PROJECT), str(MODEL)]
    parts: list[dict[str, Any]] = []
    with measured("imports", parts):
        import model  # noqa: F401 (the Trainer would else pay for it)
        from tfx import v1 as tfx
        from tfx.orchestration.portable import launcher
    # A field of ours, by which a model is taught by another one where that is asked for.
    tfx.components.FnArgs.distil = None
    launch: Callable[[launcher.Launcher], Any] = launcher.Launcher.launch

    def timed(self: launcher.Launcher) -> Any:
        with measured(self._pipeline_node.node_info.id, parts):
            return launch(self)

    launcher.Launcher.launch = timed
    arguments.root.mkdir(parents=True, exist_ok=True)
    tfx.orchestration.LocalDagRunner().run(
        pipeline(arguments.data, arguments.root, arguments.train_steps, arguments.eval_steps)
    )
    versions = {"tfx": tfx.__version__, "python": sys.version.split()[0]}
    print(json.dumps({"parts": parts, **versions}))


def pipeline(data: Path, root: Path, train_steps: int, eval_steps: int) -> Any:
    """TFX's pipeline of its taxi example, with the split, module files, steps and metrics of `models/taxi`."""
    import tensorflow_model_analysis as tfma
    from google.protobuf import text_format
    from tfx import v1 as tfx
    from tfx.proto import example_gen_pb2

    buckets = [
        example_gen_pb2.SplitConfig.Split(name="train", hash_buckets=2),
        example_gen_pb2.SplitConfig.Split(name="eval", hash_buckets=1),
    ]
    split = example_gen_pb2.Output(split_config=example_gen_pb2.SplitConfig(splits=buckets))
    evaluation = text_format.Parse((MODEL / "evaluation.pbtxt").read_text(), tfma.EvalConfig())
    tf_examples = tfx.components.CsvExampleGen(input_base=str(data), output_config=split)
    statistics = tfx.components.StatisticsGen(examples=tf_examples.outputs["examples"])
    schema = tfx.components.SchemaGen(statistics=statistics.outputs["statistics"])
    validator = tfx.components.ExampleValidator(
        statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"]
    )
    transform = tfx.components.Transform(
        examples=tf_examples.outputs["examples"],
        schema=schema.outputs["schema"],
        preprocessing_fn="preprocessing.preprocessing_fn",
    )
    trainer = tfx.components.Trainer(
        run_fn="model.run_fn",
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema.outputs["schema"],
        train_args=tfx.proto.TrainArgs(splits=["train"], num_steps=train_steps),
        eval_args=tfx.proto.EvalArgs(splits=["eval"], num_steps=eval_steps),
    )
    baseline = tfx.dsl.Resolver(
        strategy_class=tfx.dsl.experimental.LatestBlessedModelStrategy,
        model=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Model),
        model_blessing=tfx.dsl.Channel(type=tfx.types.standard_artifacts.ModelBlessing),
    ).with_id("latest_blessed_model_resolver")
    evaluator = tfx.components.Evaluator(
        examples=tf_examples.outputs["examples"],
        model=trainer.outputs["model"],
        baseline_model=baseline.outputs["model"],
        eval_config=evaluation,
        example_splits=["eval"],
    )
    pusher = tfx.components.Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(base_directory=str(root / "serving"))
        ),
    )
    return tfx.dsl.Pipeline(
        pipeline_name="taxi",
        pipeline_root=str(root / "artifacts"),
        components=[tf_examples, statistics, schema, validator, transform, trainer, baseline, evaluator, pusher],
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(root / "metadata.sqlite")
        ),
        beam_pipeline_args=BEAM,
        enable_cache=False,
    )


if __name__ == "__main__":
    main()
