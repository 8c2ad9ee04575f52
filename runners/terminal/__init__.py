"""What people see while they wait: live displays, lines in logs, tables."""
