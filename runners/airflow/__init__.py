"""Airflow: a compiled pipeline as a DAG file, whose tasks are pods with our launcher in them."""
