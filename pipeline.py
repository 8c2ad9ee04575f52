"""The pipeline, once, for every target: of each model that has no `pipeline.py` of its own.

              ┌─ statistics ─ schema ─ validate ─┐
    ingest ───┤                                  ├─ transform ─ train ─ resolve ─ evaluate ─ push
              └──────────────────────────────────┘

Transform refuses data that validate found invalid, and push publishes nothing without a blessing.

Before train come tune, where the settings have that section, and resolve-base, where they say `train.warm_start` or
`train.distil`.
Where the settings ask for it, explain, infra_validate, export, approve and model_card run before push, and canary,
push_hub and push_vertex after it.
Around all of it, where the settings have `notify`, is an exit handler: notify runs last, however the run ended.

`infer` is another pipeline, which has a version that was pushed answer new data:

    pull ─ ingest ─ statistics ─ validate ─ bulk_infer

and `watch` a third one, which looks at what the first put into service, and may begin a run of it;
`feedback` makes the data of such a run. They are written as a model's own is, of the
same blocks: `build.stage(...)` makes a task of any stage, the other methods of `Build` make several. docs/pipelines.md
shows how.

Compiling needs neither data nor network nor TensorFlow.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from kfp import dsl

from components.runtime.errors import InputError, did_you_mean
from runners.compiled.building import Blocks, input_of
from runners.settings.candidates import transforms

if TYPE_CHECKING:
    from kfp.dsl import PipelineTask


class Examined(NamedTuple):
    """The tasks from raw data to the verdict on it."""

    ingest: PipelineTask
    statistics: PipelineTask
    schema: PipelineTask
    validate: PipelineTask


class Prepared(NamedTuple):
    """The tasks from raw data to transformed examples."""

    ingest: PipelineTask
    statistics: PipelineTask
    schema: PipelineTask
    validate: PipelineTask
    transform: PipelineTask


class Build(Blocks):
    """The building blocks of a pipeline, and the parts of the default one.

    A part makes its tasks and returns them, so that what comes behind names their outputs. Of `train`, `evaluate` and
    `publish` there can be several in a pipeline, each with a `suffix` to the names of its tasks.
    """

    service: Mapping[str, Any] = {}
    """What resolve and push are told besides the serving directory."""

    def candidate(self, name: str) -> Build:
        """The same blocks for one of several candidates: with what the settings say of it.

        Raises:
          InputError: the settings name no such candidate.
        """
        known = self.settings.candidates
        if name not in known:
            named = ", ".join(known) or "none"
            raise InputError(f"no candidate {name!r}{did_you_mean(str(name), known)}; the settings name: {named}")
        build = copy.copy(self)
        build.settings = self.settings.candidate(name)
        build.service = {"candidate": name} if self.settings.choose.push == "each" else {}
        return build

    def prepare(self, data: Any, span: Any = None, spans: Any = None) -> Prepared:
        """From raw data to transformed examples; arguments as of `examine`."""
        return self.transform(self.examine(data, span, spans))

    def examine(self, data: Any, span: Any = None, spans: Any = None) -> Examined:
        """From raw data to the verdict on it.

        Args:
          data: where it lies.
          span: which span of it is read; as the settings say without, which is all there is to data in no spans.
          spans: how many of the newest up to that; as the settings say without.
        """
        if self.settings.ingest.query:
            ingest = self.stage("ingest", data="", table=self.stage("query").outputs["table"])
        else:
            given = {name: value for name, value in (("span", span), ("spans", spans)) if value is not None}
            if given or self.settings.is_in_spans:
                given["scheduled"] = dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER
            ingest = self.stage("ingest", data=data, **given)
        examples = ingest.outputs["examples"]
        statistics = self.stage("statistics", examples=examples)
        schema = self.stage("schema", statistics=statistics.outputs["statistics"])
        # Invalid data is refused by transform, and a model without a blessing by what publishes: conditions of the DSL
        # would be groups of tasks, each with a pod of its own, behind which the dashboard hides the pipeline.
        validate = self.stage("validate", statistics=statistics.outputs["statistics"], schema=schema.outputs["schema"])
        return Examined(ingest, statistics, schema, validate)

    def transform(self, examined: Examined, suffix: str = "") -> Prepared:
        """The preprocessing, and statistics of what comes of it."""
        transform = self.stage(
            "transform",
            f"transform{suffix}",
            examples=examined.ingest.outputs["examples"],
            schema=examined.schema.outputs["schema"],
            anomalies=examined.validate.outputs["anomalies"],
        )
        self.stage(
            "statistics",
            f"transformed-statistics{suffix}",
            examples=transform.outputs["transformed_examples"],
            # The curated schema is that of the raw features, which may have the same names.
            schema_file="",
        )
        return Prepared(*examined, transform)

    def train(
        self,
        prepared: Prepared,
        train_steps: Any,
        eval_steps: Any,
        serving_directory: Any,
        suffix: str = "",
        **arguments: Any,
    ) -> PipelineTask:
        """A training, and before it the search for hyperparameters and the model to start from, if asked for.

        Args:
          prepared: what it trains on.
          train_steps: for how long.
          eval_steps: of the evaluation while it trains.
          serving_directory: where the model to start from is served.
          suffix: to the tasks' names, such as `-wide`.
          arguments: of train, in place of what the settings say.
        """
        given = {
            "transformed_examples": prepared.transform.outputs["transformed_examples"],
            "transform_graph": prepared.transform.outputs["transform_graph"],
            "schema": prepared.schema.outputs["schema"],
        }
        start: dict[str, Any] = {}
        if self.settings.tune:
            tune = self.stage("tune", f"tune{suffix}", **given)
            start["hyperparameters"] = tune.outputs["best_hyperparameters"]
        if self.settings.train.warm_start or self.settings.train.distil:
            base = self.stage("resolve", f"resolve-base{suffix}", destination=serving_directory, **self.service)
            start["base_model"] = base.outputs["baseline_model"]
        steps = {"train_steps": train_steps, "eval_steps": eval_steps}
        return self.stage("train", f"train{suffix}", **(given | steps | start | arguments))

    def evaluate(
        self, prepared: Prepared, trained: PipelineTask, serving_directory: Any, suffix: str = "", **arguments: Any
    ) -> PipelineTask:
        """The evaluation of a model beside the one in service."""
        model = trained.outputs["model"]
        # The serving directory changes from run to run, so its answer is never taken from the cache.
        resolve = self.stage("resolve", f"resolve{suffix}", model=model, destination=serving_directory, **self.service)
        given = {
            "examples": prepared.ingest.outputs["examples"],
            "model": model,
            "baseline_model": resolve.outputs["baseline_model"],
            "schema": prepared.schema.outputs["schema"],
        }
        return self.stage("evaluate", f"evaluate{suffix}", **(given | arguments))

    def publish(
        self,
        prepared: Prepared,
        trained: PipelineTask,
        evaluated: PipelineTask,
        serving_directory: Any,
        suffix: str = "",
    ) -> PipelineTask:
        """Puts a blessed model into service, and wherever else the settings say; returns the task push."""
        blessed = {"model": trained.outputs["model"], "blessing": evaluated.outputs["blessing"]}
        examples = prepared.ingest.outputs["examples"]
        explained: dict[str, Any] = {}
        if self.settings.explain:
            explain = self.stage("explain", f"explain{suffix}", **blessed, examples=examples)
            explained["explanations"] = explain.outputs["explanations"]
        if self.settings.infra_validate:
            served = self.stage("infra_validate", f"infra-validate{suffix}", **blessed, examples=examples)
            blessed["blessing"] = served.outputs["infra_blessing"]
        if self.settings.export:
            # By the same thresholds on the same rows as the model.
            said = self.settings.arguments("evaluate")
            exported = self.stage(
                "export",
                f"export{suffix}",
                **blessed,
                examples=examples,
                schema=prepared.schema.outputs["schema"],
                eval_config_file=said["eval_config_file"],
                example_splits=said["example_splits"],
            )
            blessed["blessing"] = exported.outputs["export_blessing"]
        named = {"run": dsl.PIPELINE_JOB_NAME_PLACEHOLDER}
        if self.settings.approve:
            asked = self.stage(
                "approve",
                f"approve{suffix}",
                **blessed,
                **named,
                metrics=evaluated.outputs["metrics"],
                destination=serving_directory,
                **self.service,
            )
            blessed["blessing"] = asked.outputs["approval"]
        data = {"schema": prepared.schema.outputs["schema"], "statistics": prepared.statistics.outputs["statistics"]}
        if self.settings.model_card:
            # Behind those who have a say: the card tells what they said, and goes into the version with the blessing.
            written = self.stage(
                "model_card",
                f"model-card{suffix}",
                **blessed,
                **named,
                **explained,
                examples=examples,
                statistics=data["statistics"],
                pipeline=self.settings.pipeline_name,
                description=self.settings.description,
            )
            blessed["blessing"] = written.outputs["carded_blessing"]
        push = self.stage("push", f"push{suffix}", **blessed, **data, destination=serving_directory, **self.service)
        if self.settings.canary:
            self.stage(
                "canary", f"canary{suffix}", pushed_model=push.outputs["pushed_model"], examples=examples, **named
            )
        # Push alone can tell whether the blessing still holds: the others publish what it has put in service.
        named["pipeline"] = self.settings.pipeline_name
        if self.settings.push_hub:
            self.stage(
                "push_hub",
                f"push-hub{suffix}",
                **blessed,
                metrics=evaluated.outputs["metrics"],
                examples=examples,
                description=self.settings.description,
                **named,
            ).after(push)
        if self.settings.push_vertex:
            self.stage("push_vertex", f"push-vertex{suffix}", **blessed, **named).after(push)
        return push

    def answer(
        self,
        data: Any,
        data_format: Any,
        serving_directory: Any,
        version: Any,
        label: Any,
        output_format: Any,
        columns: Any,
        on_anomalies: Any,
    ) -> PipelineTask:
        """Has a version that was pushed answer new data, held to the schema of what it was trained on.

        Args:
          data: without labels, or with labels that nobody looks at.
          data_format: of its files; auto to go by their names and first bytes.
          serving_directory: where the version is.
          version: its number; 0 for the one in service, or that `label` names.
          label: of the version; empty for none.
          output_format: parquet, csv or tfrecord.
          columns: of the data, which stand beside the predictions.
          on_anomalies: stop or warn.
        """
        pull = self.stage(
            "pull",
            destination=serving_directory,
            version=version,
            label=label,
            **{name: file for name, file in self.settings.arguments("schema").items() if file},
            **self.service,
        )
        schema = pull.outputs["schema"]
        ingest = self.stage("ingest", data=data, format=data_format, schema=schema)
        examples = ingest.outputs["examples"]
        statistics = self.stage("statistics", examples=examples, schema_file="")
        validate = self.stage(
            "validate", statistics=statistics.outputs["statistics"], schema=schema, on_anomalies=on_anomalies
        )
        return self.stage(
            "bulk_infer",
            examples=examples,
            model=pull.outputs["pulled_model"],
            anomalies=validate.outputs["anomalies"],
            output_format=output_format,
            columns=columns,
            sample_rows=self.settings.ingest.sample_rows,
        )

    def choose(self, trained: Mapping[str, PipelineTask], evaluated: Mapping[str, PipelineTask]) -> PipelineTask:
        """The choice of the best blessed one of several models.

        Its outputs model, blessing and metrics are those of one model that was trained and evaluated alone.

        Args:
          trained: by the name of each candidate the task that made its model.
          evaluated: the same of its evaluation.
        """
        inputs = {input_of("model", name): task.outputs["model"] for name, task in trained.items()}
        inputs |= {input_of("blessing", name): task.outputs["blessing"] for name, task in evaluated.items()}
        return self.stage("choose", candidates=list(trained), **inputs)

    def compete(self, examined: Examined, train_steps: Any, eval_steps: Any, serving_directory: Any) -> None:
        """Trains and evaluates the candidates of the settings, side by side, and publishes the best one, or each.

        Raises:
          InputError: they name none.
        """
        if not self.settings.candidates:
            raise InputError("build.compete needs candidates; name them in the settings: candidates: {deep: {...}}")
        prepared: dict[str, Prepared] = {}
        trained: dict[str, PipelineTask] = {}
        evaluated: dict[str, PipelineTask] = {}
        publishes_each = self.settings.choose.push == "each"
        for name, maker in transforms(self.settings).items():
            build, suffix = self.candidate(name), f"-{name}"
            if maker not in prepared:
                prepared[maker] = build.transform(examined, f"-{maker}" if maker else "")
            # Steps of its own are not those of the run.
            own = self.settings.candidates[name]
            steps = {
                key: getattr(build.settings.train, key) if own.says("train", key) else value
                for key, value in (("train_steps", train_steps), ("eval_steps", eval_steps))
            }
            trained[name] = build.train(prepared[maker], **steps, serving_directory=serving_directory, suffix=suffix)
            evaluated[name] = build.evaluate(prepared[maker], trained[name], serving_directory, suffix)
            if publishes_each:
                build.publish(prepared[maker], trained[name], evaluated[name], serving_directory, suffix)
        if not publishes_each:
            chosen = self.choose(trained, evaluated)
            self.publish(next(iter(prepared.values())), chosen, chosen, serving_directory)


def pipeline(
    build: Build, data: Any, train_steps: Any, eval_steps: Any, serving_directory: Any, span: Any, spans: Any
) -> None:
    """What can vary from run to run is a parameter of the pipeline; what cannot is taken from the settings.

    Where the data is in no spans, span and spans are no parameters, and None.
    """
    with build.exit_handler():
        if build.settings.candidates:
            build.compete(build.examine(data, span, spans), train_steps, eval_steps, serving_directory)
            return
        prepared = build.prepare(data, span, spans)
        trained = build.train(prepared, train_steps, eval_steps, serving_directory)
        evaluated = build.evaluate(prepared, trained, serving_directory)
        build.publish(prepared, trained, evaluated, serving_directory)


def watch(build: Build, log: Any, serving_directory: Any, version: int = 0, until: str = "") -> None:
    """A pipeline of its own that looks at a model in service: `./millrace watch`, and what a schedule runs.

    It begins no run of the other: `watch_and_retrain` does, and on one machine `./millrace watch --retrain`.
    """
    with build.exit_handler():
        build.stage("watch", log=log, destination=serving_directory, version=version, until=until)


def watch_and_retrain(
    build: Build, log: Any, data: Any, serving_directory: Any, version: int = 0, until: str = ""
) -> None:
    """The same, which begins a run of the model's pipeline on the newest data where a threshold is passed."""
    with build.exit_handler():
        looked = build.stage("watch", log=log, destination=serving_directory, version=version, until=until)
        # A pod that may begin runs is there only where one is to be begun.
        with dsl.If(looked.outputs["drifted"] == True):  # noqa: E712 (kfp makes a condition of it)
            build.stage(
                "retrain",
                watched=looked.outputs["watched"],
                destination=serving_directory,
                data=data,
                spans=build.settings.watch.spans or build.settings.ingest.spans or 0,
                pipeline=build.settings.pipeline_name.removesuffix("-watch"),
                template=f"{build.settings.pipeline_name.removesuffix('-watch')}-retrain",
                run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
                run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
                **({"kubeflow": build.settings.watch.kubeflow} if build.settings.watch.kubeflow else {}),
            )


def feedback(
    build: Build,
    log: Any,
    data: Any,
    serving_directory: Any,
    label: str = "",
    implicit_after: str = "",
    implicit_value: str = "",
) -> None:
    """The pipeline that makes the next span of training data of the labels that a server took."""
    with build.exit_handler():
        build.stage(
            "feedback",
            log=log,
            destination=serving_directory,
            data=data,
            label=label,
            implicit_after=implicit_after,
            implicit_value=implicit_value,
        )


def infer(
    build: Build,
    data: Any,
    data_format: Any,
    serving_directory: Any,
    output_format: Any,
    columns: Any,
    on_anomalies: Any,
    version: int = 0,
    label: str = "",
) -> None:
    """The pipeline of `./millrace infer`: a version of the model answers new data."""
    with build.exit_handler():
        build.answer(data, data_format, serving_directory, version, label, output_format, columns, on_anomalies)
