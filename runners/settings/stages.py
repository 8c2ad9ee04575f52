"""What `settings.yaml` can say of each stage: its arguments, and what decides about its tasks."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    model_validator,
)

from components.runtime.data import query_sources
from components.runtime.data.span_choice import SHAPES, can_be_asked
from components.runtime.errors import InputError
from components.runtime.publish import export_formats
from runners.settings import sections

_RESOURCE = re.compile(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?/)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
"""A resource of Kubernetes, with its namespace where it has one."""


class Section(sections.Section, BaseModel):
    """A part of the settings that is a stage's."""


def _span(value: Any) -> Any:
    """A span as a text: YAML reads a number and a date as such."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    text = str(value) if is_number or type(value) is date else value
    if isinstance(text, str) and not can_be_asked(text):
        raise ValueError(f"{text!r} names no span: give {SHAPES}")
    return text


class Images(Section):
    """How images lie in the data's folder; what is not given has the stage's default."""

    layout: Literal["folders", "pairs", "list", "plain"] | None = None
    images: str | None = None
    masks: str | None = None
    list_file: str | None = None
    mask_values: list[Annotated[int, Field(ge=0, le=255)]] | None = None
    measures: bool | None = None


def _of_form(pattern: str, expected: str) -> AfterValidator:
    """Holds a text to a pattern, and says in words what was expected."""

    def check(text: str) -> str:
        if re.fullmatch(pattern, text):
            return text
        raise ValueError(f"expected {expected}")

    return AfterValidator(check)


class Partition(Section):
    """In how many parts an answer is read at once, by a column of whole numbers."""

    column: Annotated[str, Field(min_length=1)]
    parts: Annotated[int, Field(ge=1, le=64)]


class Query(Section):
    """A query of a database or a lake, whose answer is the raw data; see docs/databases.md.

    Attributes:
      source: its kind, and where it is.
      variable: of the environment, with the password or the token.
    """

    source: dict[str, Any]
    sql: str = ""
    sql_file: str = ""
    partition: Partition | None = None
    variable: Annotated[str, _of_form(r"[A-Z][A-Z0-9_]*", "the name of a variable, such as TAXI_DATABASE")] = (
        query_sources.SECRET_VARIABLE
    )

    @model_validator(mode="after")
    def _says_what_is_asked(self) -> Query:
        try:
            source = query_sources.read(self.source)
        except InputError as error:
            raise ValueError(str(error)) from None
        if bool(self.sql) == bool(self.sql_file) and (self.sql or source["kind"] not in query_sources.LAKES):
            raise ValueError("either sql or sql_file says what is asked; give one of them")
        if self.partition and source["kind"] != query_sources.POSTGRESQL:
            raise ValueError(f"partition is for {query_sources.POSTGRESQL}; {source['kind']} needs none, take it out")
        return self


class Ingest(Section):
    """How raw data becomes examples.

    Attributes:
      query: what is asked for the data; without, it is in files.
      span: which span of the data is read, `5`, `2026-11-29`, `3-7`, `scheduled-1` or `latest`; a run may say another.
      spans: so many of the newest up to that are read; without both, and without placeholders, data is in no spans.
      on_gaps: what is done where one in between is not there, or fewer are than `spans`.
    """

    query: Query | None = None
    format: Literal["auto", "csv", "tfrecord", "parquet", "avro", "images"] = "auto"
    splits: dict[str, PositiveInt] = {"train": 2, "eval": 1}
    split_patterns: dict[str, str] = {}
    sample_rows: int = Field(default=10, ge=0, le=100)
    images: Images | None = None
    text_columns: list[str] = []
    delimiter: str = ","
    encoding: str = "utf-8"
    header: bool = True
    column_names: list[str] = []
    null_values: list[str] = []
    decimal: Literal[".", ","] = "."
    leave_out_without: list[str] = []
    span: Annotated[str | None, BeforeValidator(_span)] = None
    spans: PositiveInt | None = None
    on_gaps: Literal["warn", "stop"] | None = None
    beam_options: list[str] | None = None

    @model_validator(mode="after")
    def _a_query_has_no_files(self) -> Ingest:
        if self.query:
            files = {
                "split_patterns": self.split_patterns,
                "span": self.span,
                "spans": self.spans,
                "images": self.images,
            }
            if of_files := [name for name, value in files.items() if value]:
                raise ValueError(
                    f"{of_files[0]} is of files, and the data is the answer of query; leave one of them out"
                )
            if self.format not in ("auto", "parquet"):
                raise ValueError(f"format {self.format} is of files, and the data is the answer of query; take it out")
        return self


class Statistics(Section):
    """How statistics are computed; without options in the stage's own process."""

    beam_options: list[str] = []


class Schema(Section):
    """Where the schema comes from; without a file it is inferred."""

    schema_file: str = ""


class Validate(Section):
    """What anomalies do."""

    on_anomalies: Literal["stop", "warn"] = "stop"
    previous_statistics: str = ""


class Transform(Section):
    """The preprocessing."""

    module_file: str = "preprocessing.py"
    custom_config: dict[str, Any] = {}
    beam_options: list[str] = []
    on_not_finite: Literal["warn", "fail"] = "warn"


def execution(section: Tune | Train) -> dict[str, Any]:
    """How a training or a search runs, as far as that is said; the stage takes it from its custom_config."""
    said = {"workers": section.workers, "checkpoint_directory": section.checkpoint_directory}
    return {name: value for name, value in said.items() if value != type(section).model_fields[name].default}


class Tune(Section):
    """The search for hyperparameters before the training; without this section there is none."""

    # That of train where nothing is said: the two are functions of one model.
    module_file: str = ""
    train_steps: PositiveInt = 500
    eval_steps: int = Field(default=50, ge=0)
    seed: int = 42
    custom_config: dict[str, Any] = {}
    max_trials: int = Field(default=10, ge=0)
    max_minutes: float = Field(default=30.0, ge=0, allow_inf_nan=False)
    workers: PositiveInt = 1
    checkpoint_directory: str = ""


class Distil(Section):
    """What the model in service teaches, besides the labels.

    Attributes:
      temperature: at which the answers of both are compared.
      alpha: weight of the teacher's answers, from 0 to 1; the labels have the rest.
    """

    temperature: PositiveFloat = 2.0
    alpha: float = Field(default=0.5, ge=0, le=1)


class Train(Section):
    """The training."""

    module_file: str = "model.py"
    train_steps: PositiveInt = 500
    eval_steps: int = Field(default=50, ge=0)
    seed: int = 42
    custom_config: dict[str, Any] = {}
    hyperparameters_file: str = ""
    warm_start: bool = False
    distil: Distil | None = None
    workers: PositiveInt = 1
    checkpoint_directory: str = ""


class Evaluate(Section):
    """The evaluation and its gate."""

    eval_config_file: str = "evaluation.pbtxt"
    example_splits: list[str] = ["eval"]
    beam_options: list[str] = []
    require_thresholds: bool = False


class Push(Section):
    """What stays in the serving directory.

    Attributes:
      keep: how many versions; all of them without.
    """

    keep: PositiveInt | None = None


MailServer = Annotated[str, _of_form(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?", "HOST or HOST:PORT")]
MailAddress = Annotated[str, _of_form(r"[^\s@<>,;]+@[^\s@<>,;]+", "an address of the form name@host")]
Link = Annotated[str, _of_form(r"(https?://\S+)?", "an address that begins with http:// or https://")]
_HUB_NAME = r"[A-Za-z0-9][-A-Za-z0-9_.]*/[A-Za-z0-9_][-A-Za-z0-9_.]*"
_HUB_FORM = "NAMESPACE/NAME of letters, digits, '-', '_' and '.', such as team/taxi"
HubName = Annotated[str, _of_form(_HUB_NAME, _HUB_FORM)]
MaybeHubName = Annotated[str, _of_form(f"({_HUB_NAME})?", _HUB_FORM)]


class Space(Section):
    """A Space of the Hub in which people try the model.

    Attributes:
      sdk: what its app is written with.
      repo_id: its name; that of the model with `-demo` without.
      private: whether nobody else may see it; as the model without.
      title: over the page; the model's name without.
      input: what the model takes; `auto` goes by its signature.
      classes: names of what the model tells apart, in its order.
    """

    sdk: Literal["gradio", "streamlit"] = "gradio"
    repo_id: MaybeHubName = ""
    private: bool | None = None
    title: str = ""
    input: Literal["auto", "table", "image"] = "auto"
    classes: list[str] = []


class PushHub(Section):
    """The push to the Hugging Face Hub, beside that to the serving directory; the token comes from a secret.

    Attributes:
      repo_id: NAMESPACE/NAME of the model's repository.
      private: whether the repository is private.
      license: as the Hub names it, such as apache-2.0.
      task: as the Hub names it, such as tabular-classification.
      tags: more tags for the model card.
      space: also a Space; none without.
    """

    repo_id: HubName
    private: bool = True
    license: str = ""
    task: str = ""
    tags: list[str] = []
    space: Space | None = None


class Bounds(Section):
    """What serving must not cost; what is not named is measured and told."""

    p50_ms: PositiveFloat | None = None
    p99_ms: PositiveFloat | None = None
    load_seconds: PositiveFloat | None = None
    memory_mb: PositiveFloat | None = None
    model_mb: PositiveFloat | None = None
    requests_per_second: PositiveFloat | None = None


class BulkInfer(Section):
    """How `./millrace infer` has a version answer new data."""

    output_format: Literal["parquet", "csv", "tfrecord"] = "parquet"
    columns: list[str] = ["*"]
    signature: str = ""
    batch_size: int = Field(default=0, ge=0)
    beam_options: list[str] = []


class InfraValidate(Section):
    """Whether a blessed model is fit to be served, before it is pushed: a real server is asked."""

    server: Literal["", "tensorflow", "kserve"] = ""
    split: str = "eval"
    rows: PositiveInt = 100
    tolerance: float = Field(default=1e-5, ge=0)
    seconds: PositiveFloat = 3.0
    at_once: list[PositiveInt] = [1, 8, 64]
    ready_seconds: PositiveFloat = 300.0
    warm_up_rows: int = Field(default=10, ge=0, le=500)
    bounds: Bounds = Bounds()


class Explain(Section):
    """What a model goes by: attributions, partial dependence, nearest other answers, thresholds that are fair.

    Attributes:
      groups: raw features between whose values decisions are to be fair; those that evaluate slices by, where empty.
    """

    split: str = "eval"
    sample_rows: PositiveInt = 1000
    rows: PositiveInt = 200
    background: PositiveInt = 32
    shown: int = Field(default=6, ge=1, le=20)
    evaluations: PositiveInt = 500_000
    minutes: float = Field(default=10.0, gt=0, allow_inf_nan=False)
    steps: PositiveInt = 256
    groups: list[str] = []
    tolerance: float = Field(default=0.05, ge=0, le=1)
    output: str = ""
    seed: int = Field(default=42, ge=0)


class ModelCard(Section):
    """What people should know of a model, beside what was measured: their own words on its card.

    Attributes:
      intended_use: what it is for, and for whom.
      not_for: uses that it is not for.
      limits: what it does not do well, one each.
      trade_offs: what was given up for what.
      owners: whom to ask.
      license: under which it may be used.
      links: further reading.
      distributions: whether the card shows how the values of the data are distributed.
    """

    intended_use: str = ""
    not_for: str = ""
    limits: list[str] = []
    trade_offs: str = ""
    owners: list[str] = []
    license: str = ""
    links: list[Link] = []
    distributions: bool = True


class ExportFormat(Section):
    """One export of a model; what is not given has the stage's default.

    Attributes:
      format: litert, onnx, tfjs or saved_model; the export's name without.
      quantise: how weights are stored; with int8 what flows between the layers too.
      inputs: what it takes; `auto` for raw features where the format can hold the preprocessing.
      sparsity: share of each weight matrix that becomes 0.
      clusters: how many different values each weight matrix keeps.
    """

    format: Literal["litert", "onnx", "tfjs", "saved_model"] | None = None
    quantise: Literal["none", "float16", "dynamic", "int8"] | None = None
    inputs: Literal["auto", "raw", "transformed"] | None = None
    sparsity: Annotated[float, Field(gt=0, lt=1)] | None = None
    clusters: Annotated[int, Field(ge=2, le=256)] | None = None


class ExportBounds(Section):
    """What an export must not exceed; `loss` is of a metric, as a share of the model's value."""

    loss: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    size_mb: PositiveFloat | None = None
    p50_ms: PositiveFloat | None = None


class Export(Section):
    """Which other formats a blessed model is published in, beside itself."""

    formats: Annotated[dict[str, ExportFormat], Field(min_length=1)]
    bounds: ExportBounds = ExportBounds()
    representative_split: str = "train"
    representative_rows: PositiveInt = 200

    @model_validator(mode="after")
    def _formats_go_together(self) -> Export:
        try:
            export_formats.read({name: each.model_dump() for name, each in self.formats.items()})
        except InputError as error:
            raise ValueError(str(error)) from None
        return self


class Approve(Section):
    """A person's yes before a model is published.

    Attributes:
      timeout_minutes: how long a run waits; then the answer is no.
      approvers: who may answer, by name; whoever can write into the serving directory, where empty.
      webhook: whom the question is sent to: slack (with buttons), text or json; nobody where empty.
      slack_users: who people are, by their ids in Slack.
      link: of a page about the run, with {run} for its name.
    """

    timeout_minutes: float = Field(default=60.0, gt=0, le=24 * 60)
    approvers: list[Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]] = []
    webhook: Literal["", "slack", "text", "json"] = ""
    slack_users: dict[
        Annotated[str, _of_form(r"[UW][A-Z0-9]{2,}", "an id of Slack's, such as U02ABCDEF")],
        Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)],
    ] = {}
    link: Link = ""


class CanaryBounds(Section):
    """What a new version must not exceed under its share of the traffic; none where a value is None.

    Attributes:
      error_rate: share of the requests without an answer.
      error_rate_added: the same, above that of the stable version.
      p99_ms: 99 of 100 requests are answered within.
      p99_ratio: the same, as a multiple of that of the stable version.
      answers: share of the same rows that it answers otherwise.
    """

    error_rate: float | None = Field(default=None, ge=0, le=1)
    error_rate_added: float | None = Field(default=0.01, ge=0, le=1)
    p99_ms: PositiveFloat | None = None
    p99_ratio: PositiveFloat | None = 2.0
    answers: float | None = Field(default=None, ge=0, le=1)


class Canary(Section):
    """A share of the traffic for a new version, before it is promoted; see docs/canary.md.

    Attributes:
      route: NAMESPACE/NAME of the HTTPRoute; or
      inference_service: NAMESPACE/NAME of KServe's InferenceService.
    """

    route: str = ""
    stable_service: str = "serving"
    canary_service: str = "serving-canary"
    inference_service: str = ""
    model_uri: str = ""
    port: PositiveInt = 8080
    model_name: str = ""
    config_map: str = ""
    label: str = "stable"
    steps: Annotated[list[Annotated[int, Field(ge=1, le=100)]], Field(min_length=1)] = [10, 50]
    step_minutes: float = Field(default=10.0, gt=0, le=12 * 60)
    min_requests: PositiveInt = 100
    split: str = "eval"
    rows: int = Field(default=200, ge=0, le=10_000)
    bounds: CanaryBounds = CanaryBounds()
    ready_minutes: PositiveFloat = 10.0
    roll_back: bool = True
    kubernetes: str = ""

    @model_validator(mode="after")
    def _something_shares_the_traffic(self) -> Canary:
        if bool(self.route) == bool(self.inference_service):
            raise ValueError("either route or inference_service says what shares the traffic; give one of them")
        for named in filter(None, (self.route, self.inference_service, self.config_map)):
            if not _RESOURCE.fullmatch(named) or ("/" not in named and self.kubernetes):
                raise ValueError(f"{named!r} does not say where it is; write NAMESPACE/NAME")
        if self.inference_service and "{version}" not in self.model_uri:
            raise ValueError("model_uri: say where a version is, such as pvc://millrace/serving/taxi/{version}")
        if sorted(set(self.steps)) != self.steps:
            raise ValueError(f"steps: expected rising percentages, not {self.steps}")
        return self


class Mail(Section):
    """The mail of `notify`; its user and password are in a secret."""

    server: MailServer
    sender: MailAddress
    to: Annotated[list[MailAddress], Field(min_length=1)]
    security: Literal["starttls", "tls", "none"] = "starttls"


class Notify(Section):
    """Who is told how a run ended; the webhook's address is in a secret, see docs/notify.md."""

    when: Literal["always", "failure", "success"] = "always"
    webhook: Literal["text", "teams", "json"] = "text"
    mail: Mail | None = None
    link: Link = ""
