"""The words of a column's name, and what they say of it."""

from __future__ import annotations

import re

_TOKENS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

KEYS = {"id", "ids", "uuid", "guid", "key", "rowid", "serial"}
ID = KEYS | {"index", "rownames", "unnamed", "row"}
CODES = {
    *(
        "code",
        "zip",
        "zipcode",
        "postcode",
        "postal",
        "tract",
        "area",
        "region",
        "district",
        "county",
        "state",
        "class",
    ),
    *(
        "category",
        "type",
        "kind",
        "group",
        "cluster",
        "month",
        "weekday",
        "day",
        "hour",
        "dow",
        "store",
        "shop",
        "branch",
    ),
    *("department", "team", "sector", "industry", "product", "brand", "channel", "status", "plan", "tier"),
}
WITH_ZEROS = {"code", "zip", "zipcode", "postcode", "postal", "plz"}
TIMES = {"time", "timestamp", "date", "datetime", "at", "created", "updated", "ts", "epoch", "seconds"}
PLACES = {"lat", "latitude", "lon", "lng", "long", "longitude"}

_COUNTED = {"number", "num", "no", "nr"}
"""Behind what a column is of: `month number` is a month."""


def words(name: str) -> set[str]:
    """The words of a column's name in small letters: of `pickup_latitude`, `StoreID`, `ZIP code`."""
    return {token.lower() for token in _TOKENS.findall(name)}


def head(name: str) -> set[str]:
    """The word of a name that says what the column is: the last one, or the one before `of`.

    `store region` and `day_of_week` are codes; `region-centroid-col` and `product price` are not.
    """
    told = [token.lower() for token in _TOKENS.findall(name) if not token.isdigit()]
    if "of" in told[1:]:
        told = told[: told.index("of", 1)]
    while len(told) > 1 and told[-1] in _COUNTED:
        told.pop()
    return set(told[-1:])
