"""Software bills of materials: what a lock puts into an image, as CycloneDX 1.5 JSON.

Written out here rather than by a library: it is one list, and the lock already holds all of it.
"""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

from components.runtime import VERSION
from runners import PROJECT
from runners.compiled.image_content import PYTHON_IMAGE, Recipe

FOLDER = PROJECT / "build" / "sbom"

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==(?P<version>[^\s;\\]+)", re.MULTILINE)


def packages(locks: str) -> list[tuple[str, str]]:
    """Names and versions that locks pin."""
    pins = {(found["name"].lower().replace("_", "-"), found["version"]) for found in _PIN.finditer(locks)}
    return sorted(pins)


def bill(recipe: Recipe, locks: str) -> dict[str, Any]:
    """Returns the bill of one image; the same image gives the same bill.

    Debian's packages are those of the base image, which is one entry here.

    Args:
      recipe: of a stage's image.
      locks: text of the locks of its environments.
    """
    base = recipe.base or recipe
    first = next(iter(base.parts.values()), base)
    python_image = first.arguments.get("PYTHON_IMAGE", PYTHON_IMAGE)
    root = f"{recipe.name}:{recipe.tag}"
    libraries = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{name}@{version}",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name}@{version}",
        }
        for name, version in packages(locks)
    ]
    ours = {"type": "library", "bom-ref": "millrace", "name": "millrace", "version": VERSION}
    debian = {"type": "container", "bom-ref": "python-image", "name": python_image}
    parts = [debian, ours, *libraries]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, root)}",
        "version": 1,
        "metadata": {
            "component": {"type": "container", "bom-ref": root, "name": recipe.name, "version": recipe.tag},
        },
        "components": parts,
        "dependencies": [{"ref": root, "dependsOn": sorted(str(part["bom-ref"]) for part in parts)}],
    }


def file_of(recipe: Recipe) -> Path:
    """Where the bill of an image lies."""
    return FOLDER / f"{recipe.key}.cdx.json"


def text(recipe: Recipe) -> str:
    """The bill as JSON."""
    return json.dumps(bill(recipe, "\n".join((PROJECT / lock).read_text() for lock in recipe.locks)), indent=1) + "\n"
