"""Taxi trips that never happened, shaped like those of Chicago in 2013-2016."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv

Array = npt.NDArray[np.float64]

CHUNK_ROWS = 50_000

# Community area: latitude, longitude, share of pick-ups, share of drop-offs, census tracts.
_AREAS = {
    1: (42.01, -87.67, 0.6, 0.8, 5),
    2: (42.00, -87.69, 0.4, 0.6, 3),
    3: (41.96, -87.65, 1.6, 2.1, 11),
    4: (41.97, -87.69, 0.4, 0.9, 7),
    5: (41.95, -87.68, 0.8, 1.2, 8),
    6: (41.94, -87.65, 7.6, 8.0, 30),
    7: (41.92, -87.65, 5.9, 7.4, 22),
    8: (41.90, -87.63, 33.0, 29.5, 20),
    14: (41.97, -87.72, 0.4, 0.5, 2),
    16: (41.95, -87.72, 0.5, 0.8, 4),
    21: (41.94, -87.71, 0.4, 0.6, 5),
    22: (41.92, -87.70, 1.2, 2.1, 14),
    24: (41.90, -87.67, 4.1, 5.4, 21),
    28: (41.88, -87.66, 8.8, 10.2, 12),
    31: (41.85, -87.66, 0.1, 0.4, 5),
    32: (41.88, -87.63, 22.0, 18.6, 6),
    33: (41.86, -87.62, 2.2, 2.9, 4),
    34: (41.84, -87.63, 0.2, 0.4, 3),
    35: (41.83, -87.62, 0.2, 0.3, 3),
    39: (41.81, -87.59, 0.2, 0.2, 2),
    41: (41.79, -87.59, 0.5, 0.6, 4),
    56: (41.79, -87.75, 1.8, 2.5, 2),
    59: (41.83, -87.67, 0.1, 0.2, 1),
    76: (41.98, -87.91, 6.2, 8.5, 2),
    77: (41.99, -87.66, 1.3, 1.4, 10),
}
_CENTRAL = (8, 28, 32, 33)
_MILES_PER_DEGREE = (69.0, 51.5)
_HOURS = (
    4.1,
    3.8,
    2.9,
    2.0,
    1.2,
    1.0,
    1.4,
    2.0,
    3.3,
    4.4,
    4.4,
    4.1,
    5.0,
    4.8,
    5.0,
    4.8,
    5.1,
    5.4,
    6.4,
    6.7,
    6.4,
    5.6,
    5.5,
    4.9,
)
_WEEKDAYS = (12.9, 12.8, 12.6, 13.9, 14.7, 16.8, 16.3)
"""Sunday first, as the column trip_start_day counts from 1."""
_YEARS = {2013: 0.29, 2014: 0.35, 2015: 0.31, 2016: 0.05}
_COMPANIES = {
    "": 33.9,
    "Lakeshore Taxi Affiliation": 34.0,
    "Prairie Dispatch Taxi": 11.0,
    "Green Ribbon Cab Association": 7.5,
    "Windy City Taxi Choice": 5.9,
    "Northwest Cab Management": 3.6,
    "Union Taxi Association": 1.7,
    "Hilltop Affiliation": 0.9,
    "Harbor Medallion Leasing": 0.3,
}
_OWNER_CABS = 40
_PAYMENTS = ("Cash", "Credit Card", "No Charge", "Unknown", "Pcard", "Dispute")
_COLUMNS = (
    "pickup_community_area",
    "fare",
    "trip_start_month",
    "trip_start_hour",
    "trip_start_day",
    "trip_start_timestamp",
    "pickup_latitude",
    "pickup_longitude",
    "dropoff_latitude",
    "dropoff_longitude",
    "trip_miles",
    "pickup_census_tract",
    "dropoff_census_tract",
    "payment_type",
    "company",
    "trip_seconds",
    "dropoff_community_area",
    "tips",
)


DEARER = 0.3
"""By what share of themselves fares have risen where everything has drifted."""


def write(path: Path, rows: int, seed: int, drift: float = 0.0) -> None:
    """Writes trips as CSV, the same ones for the same `rows`, `seed` and `drift`, see `trips`."""
    options = csv.WriteOptions(include_header=False, quoting_style="none")
    with path.open("wb") as stream:
        stream.write((",".join(_COLUMNS) + "\n").encode())
        for chunk, first in enumerate(range(0, rows, CHUNK_ROWS)):
            generator = np.random.default_rng([seed, chunk])
            csv.write_csv(trips(min(CHUNK_ROWS, rows - first), generator, drift), stream, options)


def trips(rows: int, generator: np.random.Generator, drift: float = 0.0) -> pa.Table:
    """Returns trips as a table with the columns of the city's export that the taxi model reads.

    Args:
      rows: how many.
      generator: of random numbers.
      drift: how far the city has changed, from 0 to 1: fares have risen by so much of DEARER, and so many of those who
        paid in cash do it with a prepaid card, `Prcard`, of all others with an app, `Mobile`. At 1 the old ways to pay
        have vanished.
    """
    start, hour, month, day = _times(rows, generator)
    pickup, dropoff = _places(rows, generator)
    miles, seconds, fare = _rides(pickup, dropoff, hour, generator)
    fare = np.round(fare * (1 + DEARER * drift) / 0.05) * 0.05 if drift else fare
    payment, tips = _payments(fare, generator)
    if drift:
        new = np.where(payment == "Cash", "Prcard", "Mobile")
        payment = np.where(generator.random(rows) < drift, new, payment)
    company = _companies(rows, generator)

    # Some companies' meters do not record the distance; a few trips have no duration or no fare.
    recorded_miles = np.where(generator.random(rows) < np.where(company == "", 0.2, 0.31), 0.0, np.round(miles, 1))
    recorded_seconds = np.where(generator.random(rows) < 0.033, 0.0, seconds)
    fare = np.where(generator.random(rows) < 0.0017, 0.0, fare)

    no_pickup = generator.random(rows) < 0.0003
    no_dropoff = generator.random(rows) < 0.031
    # The city hides the tract of nearly every pick-up; a few are there in data of any size, so that its type is known.
    no_pickup_tract = generator.random(rows) >= 0.0002
    no_pickup_tract[:4] = False
    columns: dict[str, pa.Array] = {
        "pickup_community_area": _whole(pickup.area, no_pickup),
        "fare": pa.array(fare),
        "trip_start_month": pa.array(month),
        "trip_start_hour": pa.array(hour),
        "trip_start_day": pa.array(day),
        "trip_start_timestamp": pa.array(start),
        "pickup_latitude": pa.array(pickup.latitude, mask=no_pickup),
        "pickup_longitude": pa.array(pickup.longitude, mask=no_pickup),
        "dropoff_latitude": pa.array(dropoff.latitude, mask=no_dropoff),
        "dropoff_longitude": pa.array(dropoff.longitude, mask=no_dropoff),
        "trip_miles": pa.array(recorded_miles),
        "pickup_census_tract": _whole(pickup.tract, no_pickup_tract),
        "dropoff_census_tract": _whole(dropoff.tract, no_dropoff | (generator.random(rows) < 0.256)),
        "payment_type": pa.array(payment),
        "company": pa.array(company, mask=company == ""),
        "trip_seconds": _whole(recorded_seconds, generator.random(rows) < 0.0003),
        "dropoff_community_area": _whole(dropoff.area, no_dropoff | (generator.random(rows) < 0.0015)),
        "tips": pa.array(tips),
    }
    return pa.table({name: columns[name] for name in _COLUMNS})


class _Places:
    """Census tracts: the points that the city gives instead of addresses."""

    def __init__(self, shares: Callable[[tuple[float, float, float, float, int]], float]) -> None:
        # Where tracts lie does not depend on the seed: all generated data is of one city.
        fixed = np.random.default_rng(0)
        area, latitude, longitude, tract, weight = [], [], [], [], []
        for number, facts in _AREAS.items():
            tracts = facts[4]
            popularity = fixed.exponential(size=tracts) + 0.1
            offsets = np.round(fixed.normal(0, 0.006, size=(tracts, 2)), 9)
            for index in range(tracts):
                area.append(number)
                latitude.append(round(facts[0] + offsets[index, 0], 9))
                longitude.append(round(facts[1] + offsets[index, 1], 9))
                tract.append(17_031_000_000 + number * 10_000 + (index + 1) * 100)
                weight.append(shares(facts) * popularity[index] / popularity.sum())
        self.area = np.array(area)
        self.latitude = np.array(latitude)
        self.longitude = np.array(longitude)
        self.tract = np.array(tract)
        self.weight: Array = np.array(weight) / sum(weight)

    def take(self, index: npt.NDArray[np.int64]) -> _Places:
        """The places at `index`."""
        taken = object.__new__(_Places)
        taken.area, taken.tract = self.area[index], self.tract[index]
        taken.latitude, taken.longitude = self.latitude[index], self.longitude[index]
        taken.weight = self.weight[index]
        return taken


def _places(rows: int, generator: np.random.Generator) -> tuple[_Places, _Places]:
    pickups, dropoffs = _Places(lambda facts: facts[2]), _Places(lambda facts: facts[3])
    start = generator.choice(pickups.weight.size, size=rows, p=pickups.weight)
    end = generator.choice(dropoffs.weight.size, size=rows, p=dropoffs.weight)
    # Most people go to the nearest of a few places that they could have gone to.
    other = generator.choice(dropoffs.weight.size, size=(3, rows), p=dropoffs.weight)
    near = generator.random(rows) < 0.8
    for candidate in other:
        closer = _miles(pickups.take(start), dropoffs.take(candidate)) < _miles(pickups.take(start), dropoffs.take(end))
        end = np.where(near & closer, candidate, end)
    airport = (
        np.isin(pickups.area[start], (56, 76)) & ~np.isin(dropoffs.area[end], _CENTRAL) & (generator.random(rows) < 0.6)
    )
    central = generator.choice(np.flatnonzero(np.isin(dropoffs.area, _CENTRAL)), size=rows)
    return pickups.take(start), dropoffs.take(np.where(airport, central, end))


def _miles(start: _Places, end: _Places) -> Array:
    """Distance along a street grid in miles."""
    latitude, longitude = _MILES_PER_DEGREE
    north = np.abs(start.latitude - end.latitude) * latitude
    east = np.abs(start.longitude - end.longitude) * longitude
    return np.asarray(0.85 * (north + east))


def _times(rows: int, generator: np.random.Generator) -> tuple[npt.NDArray[np.int64], ...]:
    """Start as seconds since 1970 in quarters of an hour, hour, month, and day of the week from Sunday = 1."""
    day0 = np.datetime64("2013-01-01")
    days = np.arange(day0, np.datetime64("2017-01-01"))
    year = days.astype("datetime64[Y]").astype(np.int64) + 1970
    # 1970-01-01 was a Thursday.
    weekday = (days.astype(np.int64) + 4) % 7
    weights = np.array([_YEARS[value] for value in year.tolist()]) * np.array(_WEEKDAYS)[weekday]
    chosen = generator.choice(days.size, size=rows, p=weights / weights.sum())
    hour = generator.choice(24, size=rows, p=np.array(_HOURS) / sum(_HOURS))
    quarter = generator.integers(0, 4, size=rows)
    month = days.astype("datetime64[M]").astype(np.int64) % 12 + 1
    start = days[chosen].astype("datetime64[s]").astype(np.int64) + hour * 3600 + quarter * 900
    return start, hour, month[chosen], weekday[chosen] + 1


def _rides(
    start: _Places, end: _Places, hour: npt.NDArray[np.int64], generator: np.random.Generator
) -> tuple[Array, Array, Array]:
    """Miles, seconds in whole minutes, and fare in dollars in steps of five cents."""
    rows = hour.size
    miles = _miles(start, end) * generator.lognormal(0.05, 0.18, rows) + generator.exponential(0.25, rows)
    rush = np.isin(hour, (7, 8, 9, 16, 17, 18, 19))
    speed = (9.0 + 1.35 * np.minimum(miles, 15)) * np.where(rush, 0.85, 1.0) * generator.lognormal(0.0, 0.32, rows)
    minutes = np.maximum(np.round(miles / speed * 60 + generator.exponential(1.0, rows)), 1)
    fare = 3.4 + 1.8 * miles + 0.09 * minutes
    fare = np.where(generator.random(rows) < 0.001, fare * generator.uniform(2, 4, rows), fare)
    # Meters that run on or stop early.
    minutes = np.where(generator.random(rows) < 0.02, np.round(minutes * generator.lognormal(0.3, 0.8, rows)), minutes)
    miles = np.where(generator.random(rows) < 0.04, miles * generator.lognormal(-0.2, 0.9, rows), miles)
    return (
        miles,
        minutes * 60,
        np.round(np.round(fare / 0.2) * 0.2 + np.where(generator.random(rows) < 0.5, 0.05, 0), 2),
    )


def _payments(fare: Array, generator: np.random.Generator) -> tuple[npt.NDArray[np.str_], Array]:
    """How each trip was paid, and the tip in dollars; only tips by card are on record."""
    rows = fare.size
    odds = 0.33 + 0.0035 * (np.minimum(fare, 45) - 11)
    draw = generator.random(rows)
    kind = np.where(draw < odds, 1, 0)
    for code, share in ((2, 0.0056), (3, 0.0017), (4, 0.0002), (5, 0.0002)):
        kind = np.where(generator.random(rows) < share, code, kind)

    # Small fares get whole dollars, larger ones a share that the card reader proposes, of the fare with its extras.
    extras = generator.choice([0.0, 0.5, 1.0, 2.0], size=rows, p=[0.4, 0.2, 0.25, 0.15])
    dollars = generator.choice([1.0, 2.0, 3.0, 4.0, 5.0], size=rows, p=[0.13, 0.57, 0.22, 0.04, 0.04])
    proposed = np.where(
        fare < 17,
        generator.choice([0.1, 0.15, 0.2, 0.25, 0.3], size=rows, p=[0.06, 0.24, 0.44, 0.2, 0.06]),
        generator.choice([0.1, 0.15, 0.2, 0.25, 0.3], size=rows, p=[0.05, 0.12, 0.5, 0.23, 0.1]),
    )
    whole = generator.random(rows) < np.where(fare < 9, 0.75, np.where(fare < 17, 0.45, 0.1))
    tips = np.where(whole, dollars, np.round(proposed * (fare + extras), 2))
    generous = (kind == 1) & (generator.random(rows) < 0.95)
    generous |= (kind == 0) & (generator.random(rows) < 0.0003)
    generous |= (kind == 3) & (generator.random(rows) < 0.29)
    return np.array(_PAYMENTS)[kind], np.where(generous, tips, 0.0)


def _companies(rows: int, generator: np.random.Generator) -> npt.NDArray[np.str_]:
    """Company names; empty for about a third of the trips, a cab of its own for one in a hundred."""
    owners = [f"{3000 + 47 * number} - Owner Cab {number}" for number in range(1, _OWNER_CABS + 1)]
    weights = np.array([*_COMPANIES.values(), *[1.2 / _OWNER_CABS] * _OWNER_CABS])
    return np.array([*_COMPANIES, *owners])[generator.choice(weights.size, size=rows, p=weights / weights.sum())]


def _whole(values: npt.NDArray[np.generic], missing: npt.NDArray[np.bool_]) -> pa.Array:
    return pa.array(values.astype(np.int64), mask=missing)
