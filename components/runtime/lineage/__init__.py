"""OpenLineage events of executions."""
