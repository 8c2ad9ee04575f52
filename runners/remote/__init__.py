"""What targets far away share: how servers refuse, and recurring runs."""
