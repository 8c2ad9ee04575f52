from runners.local import termination


def _command() -> None:
    from runners.commands.cli import in_utf8, main

    in_utf8()
    main()


termination.command(_command)
