"""Stories that run: what a page of docs/ tells, by the commands that it tells of."""
