"""The pipeline, once, for every target.

              ┌─ statistics ─ schema ─ validate ─┐
    ingest ───┤                                  ├─ transform ─ train ─ resolve ─ evaluate ─ push
              └──────────────────────────────────┘

Transform refuses data that validate found invalid, and push publishes nothing without a blessing.

Before train come tune, where the settings have that section, and resolve-base, where they say `train.warm_start`.
Where the settings ask for it, push_hub and push_vertex run after push.
Around all of it, where the settings have `notify`, is an exit handler: notify runs last, however the run ended.

Compiling needs neither data nor network nor TensorFlow. (No postponed annotations here: kfp reads them as types.)
"""

import contextlib
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kfp import components as specs
from kfp import dsl

from components.runtime.launch.fingerprints import names_what_may_change
from runners.compiled import op_functions
from runners.settings.cluster import FINAL_STATUS_SERVER
from runners.settings.resources import NEVER_CACHED, task_name

if TYPE_CHECKING:
    from kfp.dsl import PipelineTask
    from kfp.dsl.base_component import BaseComponent

    from runners.settings.cluster import Cluster
    from runners.settings.model import Settings

STAGES = Path(__file__).parent / "components"


@functools.cache
def stage(name: str) -> "BaseComponent":
    """Loads the component spec of a stage."""
    return specs.load_component_from_file(str(STAGES / name / "component.yaml"))


def exit_stage(name: str, cluster: "Cluster") -> "BaseComponent":
    """Loads the component spec of a stage that is told how the run ended, as far as the KFP server can tell."""
    text = (STAGES / name / "component.yaml").read_text()
    if cluster.server < FINAL_STATUS_SERVER:
        # It refuses the whole pipeline. Elsewhere the status can still be given; there it is empty, for a stage that
        # lacks a parameter fails, and would tell nobody.
        text = text.replace("type: PipelineTaskFinalStatus,", "type: JsonObject, default: '{}',")
    return _component(text)


@functools.cache
def _component(text: str) -> "BaseComponent":
    return specs.load_component_from_text(text)


def build(settings: "Settings", find_image: op_functions.FindImage = op_functions.bare_name) -> "BaseComponent":
    """Returns the pipeline of one model.

    What can vary from run to run is a parameter of the pipeline; what cannot is taken from the settings.

    Args:
      settings: the model's.
      find_image: says what to start for the image that a component names.
    """

    def task(stage_name: str, name: str = "", **arguments: Any) -> "PipelineTask":
        """A task of a stage, under its own or another name, with what the settings give its pod."""
        load = functools.partial(exit_stage, cluster=settings.cluster) if stage_name == "notify" else stage
        created = load(stage_name)(**arguments)
        name = name or task_name(stage_name)
        pod = settings.pod(name)
        created.set_display_name(name)
        op_functions.image(created, pod, find_image)
        volume = stage_name in op_functions.VOLUME_STAGES or settings.on_volume(arguments)
        op_functions.configure(created, pod, settings.cluster, volume=volume)
        # (Raw data keeps its name while it grows.)
        may_change = stage_name == "ingest" or names_what_may_change(arguments)
        if may_change and pod.caching is None and stage_name not in NEVER_CACHED:
            op_functions.cached_by_content(created)
        return created

    def work(data: Any, train_steps: Any, eval_steps: Any, serving_directory: Any) -> None:
        ingest = task("ingest", data=data, **settings.arguments("ingest"))
        examples = ingest.outputs["examples"]
        statistics = task(
            "statistics", examples=examples, **settings.arguments("schema"), **settings.arguments("statistics")
        ).outputs["statistics"]
        schema = task("schema", statistics=statistics, **settings.arguments("schema")).outputs["schema"]
        # Invalid data is refused by transform, and a model without a blessing by what publishes: conditions of the DSL
        # would be groups of tasks, each with a pod of its own, behind which the dashboard hides the pipeline.
        anomalies = task("validate", statistics=statistics, schema=schema, **settings.arguments("validate")).outputs[
            "anomalies"
        ]
        transform = task(
            "transform",
            examples=examples,
            schema=schema,
            anomalies=anomalies,
            **settings.arguments("transform"),
        )
        task(
            "statistics",
            "transformed-statistics",
            examples=transform.outputs["transformed_examples"],
            # The curated schema is that of the raw features, which may have the same names.
            schema_file="",
            **settings.arguments("statistics"),
        )
        start: dict[str, Any] = {}
        if settings.tune:
            start["hyperparameters"] = task(
                "tune",
                transformed_examples=transform.outputs["transformed_examples"],
                transform_graph=transform.outputs["transform_graph"],
                schema=schema,
                **settings.arguments("tune"),
            ).outputs["best_hyperparameters"]
        if settings.train.warm_start:
            base = task("resolve", "resolve-base", destination=serving_directory).set_caching_options(False)
            start["base_model"] = base.outputs["baseline_model"]
        model = task(
            "train",
            transformed_examples=transform.outputs["transformed_examples"],
            transform_graph=transform.outputs["transform_graph"],
            schema=schema,
            train_steps=train_steps,
            eval_steps=eval_steps,
            **start,
            **settings.arguments("train"),
        ).outputs["model"]

        # The serving directory changes from run to run, so its answer is never taken from the cache.
        resolve = task("resolve", model=model, destination=serving_directory).set_caching_options(False)
        evaluate = task(
            "evaluate",
            examples=examples,
            model=model,
            baseline_model=resolve.outputs["baseline_model"],
            schema=schema,
            **settings.arguments("evaluate"),
        )
        blessing = evaluate.outputs["blessing"]
        push = task("push", model=model, blessing=blessing, destination=serving_directory).set_caching_options(False)
        # Push alone can tell whether the blessing still holds: the others publish what it has put in service.
        if settings.push_hub:
            task(
                "push_hub",
                model=model,
                blessing=blessing,
                metrics=evaluate.outputs["metrics"],
                examples=examples,
                description=settings.description,
                pipeline=settings.pipeline_name,
                run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
                **settings.arguments("push_hub"),
            ).after(push).set_caching_options(False)
        if settings.push_vertex:
            task(
                "push_vertex",
                model=model,
                blessing=blessing,
                pipeline=settings.pipeline_name,
                run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
                **settings.arguments("push_vertex"),
            ).after(push).set_caching_options(False)

    @dsl.pipeline(
        name=settings.pipeline_name,
        description=settings.description,
        pipeline_config=op_functions.run_limits(settings.cluster),
    )
    def millrace(
        data: str = settings.place("data"),
        train_steps: int = settings.train.train_steps,
        eval_steps: int = settings.train.eval_steps,
        serving_directory: str = settings.place("serving_directory"),
    ) -> None:
        with contextlib.ExitStack() as around:
            if settings.notify:
                tell = task(
                    "notify",
                    pipeline=settings.pipeline_name,
                    run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
                    run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                    **settings.arguments("notify"),
                )
                around.enter_context(dsl.ExitHandler(tell.set_caching_options(False), name="run"))
            work(data, train_steps, eval_steps, serving_directory)

    return millrace
