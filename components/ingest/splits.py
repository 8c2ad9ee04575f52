"""Which split a record belongs to: hash buckets, decided by what the record says and by nothing else."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.runtime.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Splits:
    """Splits with their shares.

    Attributes:
      names: sorted, because the order of a JSON object's keys does not survive a pipeline's run.
      buckets: the split of each bucket, as an index of `names`.
    """

    names: tuple[str, ...]
    buckets: npt.NDArray[np.int64]

    @classmethod
    def parse(cls, counts: Mapping[str, Any]) -> Splits:
        """Reads the parameter `splits`: the number of hash buckets of each split.

        Raises:
          InputError: no splits, a name that cannot name a folder, a count that is not an integer above zero.
        """
        if not counts:
            raise InputError(
                'splits is empty: give each split its number of hash buckets, such as {"train": 2, "eval": 1}'
            )
        sizes = []
        for name in sorted(counts):
            check_name("splits", name)
            count = counts[name]
            # KFP hands integers over as JSON numbers with a fraction of zero.
            if isinstance(count, bool) or not isinstance(count, int | float) or not 0 < count < 10**6 or count % 1:
                raise InputError(f"splits gives {name!r} {count!r} hash buckets: give it an integer from 1 to 999999")
            sizes.append(int(count))
        return cls(tuple(sorted(counts)), np.repeat(np.arange(len(sizes)), sizes))

    def of(self, identities: Iterable[bytes]) -> npt.NDArray[np.int64]:
        """The split of each record, as an index of `names`.

        Args:
          identities: of the records, see `components.runtime.data.examples.identity`.
        """
        digest = hashlib.sha256
        # The first 8 bytes of sha256, which most processors compute faster than blake2b.
        hashes = b"".join([digest(identity).digest() for identity in identities])
        bucket = np.frombuffer(hashes, "<u8")[:: digest().digest_size // 8] % np.uint64(len(self.buckets))
        return self.buckets[bucket.astype(np.int64)]


def check_name(parameter: str, name: str) -> None:
    """Holds a split's name against what can be part of a folder's name.

    Raises:
      InputError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{parameter} has a split named {name!r}: "
            "use letters, digits, '_', '-' and '.', beginning with a letter or digit"
        )
