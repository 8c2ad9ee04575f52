"""Publishes a blessed model in a repository of the Hugging Face Hub.

Each model has a revision (branch) of its own, named after the digest of its files: pushed twice, it is there once. The
branch `main` holds the model card and says which revision was pushed last; it moves when that revision is whole, by one
commit. Everything is read first and changed under a lock on the commit that was read, so that a push that died, or two
at once, end in the same state.
"""

from __future__ import annotations

import json
from typing import Any

from components.push_hub import card, connection, hub, spaces
from components.push_hub.faults import TOKEN
from components.runtime import VERSION
from components.runtime.errors import InputError
from components.runtime.publish import blessing as blessings
from components.runtime.publish import saved_signatures, serving
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact
from components.runtime.stage.progress import report

CARD = "README.md"
MANIFEST = "millrace.json"
POINTER = "revision.json"

_RESERVED = frozenset({CARD, MANIFEST, POINTER, hub.ATTRIBUTES, ".gitignore"})
_DIGITS = 16


def push_hub(
    model: InputArtifact,
    blessing: InputArtifact,
    metrics: InputArtifact,
    examples: InputArtifact,
    repo_id: str,
    tags: list[str],
    space: dict[str, Any],
    pushed_model: OutputArtifact,
    private: bool,
    license: str = "",
    task: str = "",
    description: str = "",
    pipeline: str = "",
    run: str = "",
) -> dict[str, Any]:
    """Publishes the model on its revision, unless that holds it already, then moves `main` and the Space to it.

    Args:
      model: `Format-Serving/` with a SavedModel.
      blessing: whether it is `BLESSED`; without that no request leaves this process.
      metrics: of evaluate; its metadata counts.
      examples: of ingest; its metadata counts.
      repo_id: NAMESPACE/NAME.
      tags: more tags for the card.
      space: see `components.push_hub.spaces.plan`; empty for no Space.
      pushed_model: gets `pushed.json`.
      private: whether nobody else may see the repository.
      license: as the Hub names it.
      task: as the Hub names it.
      description: a sentence for the card.
      pipeline: name of the pipeline.
      run: name of the run.

    Returns:
      `revision`; empty where nothing was published.

    Raises:
      InputError: the blessing is of another model, the token is missing or may not do it, a name is wrong, or the Hub
        refuses.
      TransientError: the Hub is busy, cannot be reached, or somebody else changed the same branch at the same time;
        or a model that was found better than this one has been published meanwhile.
    """
    files = serving.saved_model_files(model)
    digest = serving.model_digest(files)
    blessed = blessings.read(blessing, digest, pushed_model)
    if blessed is None:
        return {"revision": ""}
    if taken := sorted(_RESERVED & files.keys()):
        raise InputError(f"the model has a file {taken[0]} of its own, where the Hub's stands; save it elsewhere")
    connection.check_repo_id(repo_id, "repo_id")
    signatures = saved_signatures.read(serving.saved_model(model))
    classes = card.classes_of(blessing.metadata)
    app = spaces.plan(space, repo_id, private, signatures, description, classes) if space else None
    revision = f"model-{digest.removeprefix('sha256:')[:_DIGITS]}"
    text = card.render(
        card.Card(
            repo_id=repo_id,
            revision=revision,
            model_digest=digest,
            blessing=blessed.reason,
            metrics=card.metrics_of(metrics.metadata),
            data=card.data_of(examples.metadata),
            signatures=signatures,
            classes=classes,
            license=license,
            task=task,
            tags=tuple(str(tag) for tag in tags),
            description=description,
            pipeline=pipeline,
            run=run,
            trained_by=str(model.metadata.get("producer") or ""),
        )
    )
    token = connection.token()
    if token in json.dumps(
        [license, task, tags, description, pipeline, run, space, metrics.metadata, classes], default=str
    ):
        raise InputError(f"the value of {TOKEN} stands in what is to be pushed; take it out of the settings, renew it")
    repo = hub.Repo(connection.connect(token), repo_id)
    connection.check_card(text)
    repo.ensure(private)
    commit, created = _push_model(repo, revision, model, files, digest, text)
    moved = _move_main(repo, revision, commit, digest, blessed)
    facts = {
        "repo_id": repo_id,
        "revision": revision,
        "commit": commit,
        "url": f"{repo.url}/tree/{revision}",
        "model_digest": digest,
        "space": _push_space(repo, app, commit) if app else "",
    }
    known = "" if created else ", which was there already" + (" and is the latest again" if moved else "")
    report(f"{facts['url']}{known}")
    blessings.record_push(pushed_model, facts)
    pushed_model.metadata |= {"created": created, "moved": moved}
    return {"revision": revision}


def _push_model(
    repo: hub.Repo, revision: str, model: InputArtifact, files: dict[str, str], digest: str, text: str
) -> tuple[str, bool]:
    """Makes the revision hold the model; returns its commit, and whether it is a new one."""
    source = serving.saved_model(model)
    manifest = {"files": files, "model_digest": digest, "producer": f"millrace/push_hub {VERSION}"}
    content: dict[str, hub.Content] = {name: source / name for name in files}
    content |= {CARD: text.encode(), MANIFEST: _json(manifest)}
    if repo.head(revision) is None:
        repo.branch(revision)
    # The card of the first push stays: it tells the run that made the revision.
    return repo.settle(revision, content, f"Model {digest}", alone=True, any_content=frozenset({CARD, MANIFEST}))


def _move_main(repo: hub.Repo, revision: str, commit: str, digest: str, blessed: blessings.Blessing) -> bool:
    """Makes `main` hold the card of a revision, and its name and commit; returns whether it did not before."""
    now = repo.pointer(POINTER)
    blessed.check_not_overtaken(
        f"main of {repo.name}", digest, str(now.get("model_digest")), str(now.get("baseline_digest"))
    )
    pointer = {"revision": revision, "commit": commit, "model_digest": digest}
    if blessed.baseline_digest is not None:
        pointer["baseline_digest"] = blessed.baseline_digest
    _, moved = repo.settle(
        hub.MAIN, {CARD: repo.read(commit, CARD), POINTER: _json(pointer)}, f"The latest revision is {revision}"
    )
    return moved


def _push_space(repo: hub.Repo, app: spaces.App, commit: str) -> str:
    """Makes the Space run a commit of the model; returns its address."""
    target = hub.Repo(repo.api, app.repo_id, "space")
    target.ensure(app.private, space_sdk=app.space_sdk)
    target.settle(hub.MAIN, app.files(repo.repo_id, commit), f"Runs {repo.repo_id} at {commit}")
    return target.url


def _json(content: dict[str, Any]) -> bytes:
    return f"{json.dumps(content, indent=1, sort_keys=True)}\n".encode()
