"""Where `./millrace` begins. Little is imported before Ctrl-C is heard, which a person may press at once."""

import sys
from pathlib import Path

# Python puts the folder of the file that it runs there.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from runners.local import termination  # noqa: E402


def _command() -> None:
    from runners.commands.cli import in_utf8, main, with_streams

    with_streams()
    in_utf8()
    main()


if __name__ == "__main__":
    termination.command(_command)
