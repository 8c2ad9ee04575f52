"""Names of the taxi features, and how each kind is transformed; shared by preprocessing and model."""

DENSE_FLOAT = ("trip_miles", "fare", "trip_seconds")
"""Scaled to mean 0 and variance 1."""

VOCABULARY = ("payment_type", "company")
"""Strings, replaced by their rank in a vocabulary."""

BUCKETISED = ("pickup_latitude", "pickup_longitude", "dropoff_latitude", "dropoff_longitude")
"""Floats, replaced by the number of their quantile bucket."""

CATEGORICAL = (
    "trip_start_hour",
    "trip_start_day",
    "trip_start_month",
    "pickup_census_tract",
    "dropoff_census_tract",
    "pickup_community_area",
    "dropoff_community_area",
)
"""Integers taken as they are; 0 stands for missing (census tracts are 11-digit numbers, the rest are below 100)."""

LABEL = "tips"
FARE = "fare"

VOCABULARY_SIZE = 1000
OOV_BUCKETS = 10
"""Ids of strings outside the vocabulary; they follow those of the vocabulary."""

BUCKETS = 10
GENEROUS = 0.2
"""Share of the fare that a tip must exceed to be generous."""


def transformed(name: str) -> str:
    """Name of a feature after the transformation; Keras takes no slash in the name of an input."""
    return f"{name.replace('/', '_')}_xf"
