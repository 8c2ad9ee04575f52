"""Makes a new stage: its files from templates, and its place in every list of stages, all of it or nothing."""

from __future__ import annotations

import string
from dataclasses import dataclass
from pathlib import Path

import yaml

from components.runtime.stage.artifacts import remove, write_whole
from runners.scaffold import names, registration
from scripts.pages import stages_page

# They lie here as what is made of them will lie in the checkout.
_TEMPLATES = Path(__file__).parent / "templates"
_BASES = {"client": "light"}
"""The image that stages of an environment stand on, where that has another name."""
_STAGES_PAGE = "docs/stages.md"
_METADATA_ROW = "| counts of {name} | `splits` (list), `rows` (all) |"
"""In docs/contract.md: what the stage of the templates tells of its artifact."""


@dataclass(frozen=True)
class Scaffold:
    """What makes a new stage: texts by their place in the checkout.

    Attributes:
      made: files that are new.
      changed: files that are there, with the stage in them.
    """

    made: dict[str, str]
    changed: dict[str, str]


def scaffold(name: str, environment: str, project: Path) -> Scaffold:
    """Returns a new stage; nothing is written yet.

    Args:
      name: of the stage.
      environment: that it runs in.
      project: the checkout.

    Raises:
      InputError: no stage can have that name, or a list of stages has another form than it had.
    """
    made = _from_templates(name, _BASES.get(environment, environment))
    folders = sorted({str(Path(place).parent) for place in made})
    names.check(name, project, folders, made[f"components/{name}/{name}.py"])

    def text(place: str) -> str:
        return (project / place).read_text(encoding="utf-8")

    environments = registration.environments(text(registration.ENVIRONMENTS), name, environment)
    specs = stages_page.specs(project) | {name: yaml.safe_load(made[f"components/{name}/component.yaml"])}
    changed = {
        registration.ENVIRONMENTS: environments,
        registration.IMPORT_RULES: registration.import_rules(text(registration.IMPORT_RULES), name),
        registration.CONTRACT: registration.contract(text(registration.CONTRACT), _METADATA_ROW.format(name=name)),
        _STAGES_PAGE: stages_page.page(specs, yaml.safe_load(environments)),
    }
    return Scaffold(made, changed)


def write(stage: Scaffold, project: Path) -> None:
    """Writes a new stage, all of it or nothing."""
    before = {place: (project / place).read_bytes() for place in stage.changed}
    folders: list[Path] = []
    try:
        for folder in sorted({(project / place).parent for place in stage.made}):
            folder.mkdir(parents=True)
            folders.append(folder)
        for place, text in (stage.made | stage.changed).items():
            write_whole(project / place, text)
    except BaseException:
        # The folders first: where the disk is full, the rest needs their room.
        for folder in folders:
            remove(folder)
        for place, content in before.items():
            if (project / place).read_bytes() != content:
                write_whole(project / place, content.decode())
        raise


def _from_templates(name: str, base: str) -> dict[str, str]:
    made = {}
    for file in sorted(_TEMPLATES.rglob("*.txt")):
        place = file.relative_to(_TEMPLATES).as_posix().removesuffix(".txt").replace("NAME", name)
        made[place] = string.Template(file.read_text(encoding="utf-8")).substitute(name=name, base=base)
    return made
