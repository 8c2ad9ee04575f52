"""Reading and writing what flows between stages: tf.Examples, TFRecords, statistics, files behind URIs."""
