"""The serving directory of a model, and the versions in it as a person names them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.runtime.data.bucket import is_bucket
from components.runtime.errors import InputError, did_you_mean
from components.runtime.publish import labels, mirror, serving
from components.runtime.records.execution_record import relative_uri
from runners.settings.model import Settings


@dataclass(frozen=True)
class Place:
    """Where a model is served from.

    Attributes:
      root: the pipeline root, absolute.
      destination: the serving directory as push is told it.
      folder: the same as a path; of one in a bucket, where this process has what it looks at.
      model: what the versions go by in lineage: the folder's name.
    """

    root: Path
    settings: Settings
    destination: str
    folder: Path

    @property
    def model(self) -> str:
        """What the versions go by in lineage: `MODEL@VERSION`."""
        return self.folder.name

    @property
    def relative(self) -> str:
        """The serving directory as records name it: relative to the pipeline root, if it is in it."""
        return relative_uri(self.root, mirror.shown(self.folder))

    @classmethod
    def of(cls, root: Path, settings: Settings, candidate: str = "", directory: str = "") -> Place:
        """The serving directory of a model.

        Args:
          root: the pipeline root.
          settings: of the model.
          candidate: of several models that are each pushed: which one.
          directory: in place of what the settings say.

        Raises:
          InputError: it cannot be seen from here, or the candidate is none.
          TransientError: its bucket does not answer.
        """
        root = root.absolute()
        each = settings.candidates if settings.choose.push == "each" else {}
        if candidate and candidate not in each:
            known = (
                f"; there are {', '.join(each)}" if each else ": candidates are pushed each with `choose: {push: each}`"
            )
            raise InputError(
                f"--candidate {candidate}: no such candidate is pushed{did_you_mean(candidate, each)}{known}"
            )
        if each and not candidate and not directory:
            raise InputError(f"several models are pushed; name one with --candidate: {', '.join(each)}")
        named = directory or settings.serving_here(root)
        if "://" not in named:
            named = str(Path(named).expanduser().absolute())
        elif not is_bucket(named):
            raise InputError(f"{named}: versions are seen and changed in folders, s3:// and gs://; name one of these")
        destination = named if directory else serving.of_candidate(named, candidate)
        return cls(root, settings, destination, serving.serving_root(destination, told=False))

    def numbers(self) -> list[int]:
        """The versions that are there, the highest first.

        Raises:
          InputError: there are none.
        """
        found = [number for number, _ in serving.numbered(self.folder)]
        if not found:
            raise InputError(
                f"{self.destination}: nothing was pushed here yet; `./millrace run` pushes what is blessed, "
                "--serving-directory names another place"
            )
        return found

    def intact(self, number: int) -> serving.Version:
        """A version that is there and whole.

        Raises:
          InputError: it is not, or nobody knows.
        """
        version = self.checked(number)
        if version is None:
            raise InputError(
                f"{self.model}: version {number} was not pushed by Millrace: nothing tells whether it is whole"
            )
        return version

    def checked(self, number: int) -> serving.Version | None:
        """A version that is there and not damaged; None of one that Millrace did not push, so that nobody can tell.

        Raises:
          InputError: it is not there, or damaged.
        """
        there = self.numbers()
        if number not in there:
            raise InputError(f"{self.model}: there is no version {number}; there are {some(there)}")
        try:
            version = serving.read_version(number, dict(serving.numbered(self.folder))[number])
            if version:
                serving.verify(version)
        except serving.DamagedError as error:
            raise InputError(f"{self.model}: version {number} is damaged: {error}") from None
        return version

    def check_foreign(self, number: int) -> None:
        """Refuses a version of somebody else's that no server could load.

        Raises:
          InputError: it holds no SavedModel.
        """
        folder = dict(serving.numbered(self.folder))[number]
        if not any(folder.glob("saved_model.pb*")):
            raise InputError(f"{self.model}: version {number} is no model: {folder} has no saved_model.pb")

    def intact_or_none(self, number: int) -> serving.Version | None:
        """A version that is there and whole; None where it is not, or nobody knows."""
        try:
            return self.intact(number)
        except InputError:
            return None

    def labels(self) -> dict[str, int]:
        """The labels that there are, with the versions that they name.

        Raises:
          InputError: they cannot be read.
        """
        return labels.known(self.folder)


def some(numbers: list[int], limit: int = 8) -> str:
    """A few of many numbers, the highest of them."""
    shown = ", ".join(str(number) for number in sorted(numbers)[-limit:])
    return f"..., {shown}" if len(numbers) > limit else shown
