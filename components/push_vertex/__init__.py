"""The push_vertex stage."""
