"""What executions and runs leave on disk, as docs/contract.md defines it."""
