"""Tables as rows of features: CSV, Parquet, Avro."""
