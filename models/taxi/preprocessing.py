"""Features of the taxi model, the same in training and in serving."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_transform as tft

from components.runtime import columns

LABEL = "tips_xf"
RAW_LABELS = ["tips"]

BUCKETS = 10
VOCABULARY_SIZE = 1000
OOV_BUCKETS = 10
"""Numbers of words outside a vocabulary; they follow those of the vocabulary."""

GENEROUS = 0.2
"""Share of the fare that a tip must exceed to be generous."""


def preprocessing_fn(inputs: dict[str, columns.Values]) -> dict[str, tf.Tensor]:
    """Transforms raw trips.

    Args:
      inputs: the columns by name; `columns` makes them dense. A value may be missing.

    Returns:
      Features by their names with `_xf`, each of shape [batch]: float32 for numbers, int64 for buckets, words of a
      vocabulary and codes, which stay as they are (census tracts have 11 digits). And the label, 1 when the tip
      exceeds a fifth of the fare; a trip without a fare has label 0.
    """
    return {
        "trip_miles_xf": tft.scale_to_z_score(columns.number(inputs["trip_miles"])),
        "trip_seconds_xf": tft.scale_to_z_score(columns.number(inputs["trip_seconds"])),
        "fare_xf": tft.scale_to_z_score(columns.number(inputs["fare"])),
        "pickup_latitude_xf": tft.bucketize(columns.number(inputs["pickup_latitude"]), BUCKETS),
        "pickup_longitude_xf": tft.bucketize(columns.number(inputs["pickup_longitude"]), BUCKETS),
        "dropoff_latitude_xf": tft.bucketize(columns.number(inputs["dropoff_latitude"]), BUCKETS),
        "dropoff_longitude_xf": tft.bucketize(columns.number(inputs["dropoff_longitude"]), BUCKETS),
        "trip_start_hour_xf": columns.integer(inputs["trip_start_hour"]),
        "trip_start_day_xf": columns.integer(inputs["trip_start_day"]),
        "trip_start_month_xf": columns.integer(inputs["trip_start_month"]),
        "pickup_census_tract_xf": columns.integer(inputs["pickup_census_tract"]),
        "dropoff_census_tract_xf": columns.integer(inputs["dropoff_census_tract"]),
        "pickup_community_area_xf": columns.integer(inputs["pickup_community_area"]),
        "dropoff_community_area_xf": columns.integer(inputs["dropoff_community_area"]),
        "payment_type_xf": category(inputs["payment_type"], "payment_type"),
        "company_xf": category(inputs["company"], "company"),
        LABEL: generous(inputs["tips"], inputs["fare"]),
    }


def category(values: columns.Values, name: str) -> tf.Tensor:
    """The rank of a word in a vocabulary, int64 of shape [batch]."""
    return tft.compute_and_apply_vocabulary(
        columns.text(values), top_k=VOCABULARY_SIZE, num_oov_buckets=OOV_BUCKETS, vocab_filename=name
    )


def generous(tips: columns.Values, fare: columns.Values) -> tf.Tensor:
    """1 where the tip exceeds a fifth of the fare, else 0; int64, shape [batch].

    In float32, as the features are: a tip of exactly a fifth may fall on either side otherwise.
    """
    paid = columns.number(fare, missing=float("nan"))
    return tf.cast(columns.number(tips) > paid * tf.constant(GENEROUS, tf.float32), tf.int64)
