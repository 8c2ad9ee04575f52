"""What a notebook imports: `from millrace import Pipeline`. The command beside it is `./millrace`."""

from runners.notebook import Pipeline

__all__ = ["Pipeline"]
