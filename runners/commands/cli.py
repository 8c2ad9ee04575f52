"""The command line: `./millrace <command>`. A command's module is imported when the command is called."""

from __future__ import annotations

import difflib
import importlib
import locale
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from components.runtime import VERSION
from components.runtime.errors import EXIT_INTERRUPTED, InputError, classify
from components.runtime.stage import imports
from components.runtime.text.visible import visible
from runners import in_checkout
from runners.settings.root import ROOT, ROOT_VARIABLE, checked
from runners.terminal import output
from runners.terminal.readable import make_readable

COMPLETE_VARIABLE = "_MILLRACE_COMPLETE"
"""Set by a shell that wants a word completed, https://click.palletsprojects.com/en/stable/shell-completion/."""
CALLED_VARIABLE = "MILLRACE_CALLED"
"""How the command was called, as `./millrace` or through a link: the executable sets it."""

COMMANDS = {
    "new": ("runners.commands.new:new", "Write a model for data of your own: features, network, evaluation, tests."),
    "run": ("runners.commands.run:run", "Run a model's pipeline on this machine."),
    "compile": ("runners.commands.compile:compile_", "Compile a model's pipeline to the files that a cluster runs."),
    "kubeflow": ("runners.commands.kubeflow:kubeflow", "Upload, run, follow and schedule on Kubeflow Pipelines."),
    "argo": ("runners.commands.argo:argo", "Submit, follow and stop Workflows on plain Argo."),
    "airflow": ("runners.commands.airflow:airflow", "Export a model's pipeline as an Airflow DAG."),
    "katib": ("runners.commands.katib:katib", "Export a model's search for hyperparameters to Katib."),
    "vertex": ("runners.commands.vertex:vertex", "Submit, follow and schedule on Vertex AI Pipelines."),
    "runs": ("runners.commands.runs:runs", "List the runs, the newest first."),
    "versions": ("runners.commands.versions:versions", "List a model's versions: served, blessed, labels, releases."),
    "rollback": ("runners.commands.rollback:rollback", "Put the model of an earlier version into service again."),
    "promote": ("runners.commands.promote:promote", "Give a label, such as stable, to a version."),
    "compare": ("runners.commands.compare:compare", "Compare two runs: parameters, metrics, artifacts."),
    "explore": ("runners.commands.explore:explore", "Open runs, comparisons, lineage and versions in a browser."),
    "lineage": ("runners.commands.lineage:lineage", "Tell what made an artifact, and what came of it."),
    "report": ("runners.commands.report:report", "Write a run's report page and tell where it is."),
    "approve": ("runners.commands.approve:approve", "Answer a run that waits for a person's yes."),
    "approvals": ("runners.commands.approvals:approvals", "Receive answers from Slack to runs that wait for a yes."),
    "serve": ("runners.commands.serve:serve", "Serve the pushed versions of a model on this machine."),
    "ask": ("runners.commands.ask:ask", "Ask a served model, and tell which version answered."),
    "feedback": ("runners.commands.feedback:feedback", "Make labels that came later into a new span of training data."),
    "watch": ("runners.commands.watch:watch", "Compare what a model is asked and answers with its training; retrain."),
    "infer": ("runners.commands.infer:infer", "Have a pushed model answer every row of new data."),
    "notebook": ("runners.commands.notebook:notebook", "Open JupyterLab with the notebook of a model."),
    "doctor": ("runners.commands.doctor:doctor", "Tell what is installed here, what is not, and how to mend it."),
    "completion": ("runners.commands.completion:completion", "Print what makes a shell complete commands and names."),
    "new-stage": ("runners.commands.new_stage:new_stage", "Make a new stage that works, and register it everywhere."),
}
"""Where each command lives, and its line in the help."""


class LazyGroup(click.Group):
    """A group whose commands are imported late: kfp alone takes two seconds, and `runs` needs none of it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        with imports.quick():
            command: click.Command = getattr(importlib.import_module(module), attribute)
        command.name = cmd_name
        output.add_options(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command, or says which one may have been meant."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(name, COMMANDS, n=2, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"the commands are {', '.join(COMMANDS)}"
            ctx.fail(f"no command {name!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, "--version", prog_name="millrace", message="%(prog)s %(version)s")
@click.option(
    "--root",
    default=None,
    envvar=ROOT_VARIABLE,
    show_envvar=True,
    metavar="FOLDER",
    callback=lambda _context, _option, folder: in_checkout(ROOT) if folder is None else checked(folder, "--root "),
    help="The pipeline root: artifacts, runs, lineage; pipeline_root in the checkout without.",
)
@click.pass_context
def cli(context: click.Context, root: Path) -> None:
    """Run machine learning pipelines, and look at what they made."""
    context.obj = {"root": root}


output.add_options(cli)


@cli.result_callback()
@click.pass_context
def _shown(context: click.Context, /, made: output.Result, **_options: object) -> None:
    """Every command returns what came of it; here alone it is printed."""
    context.exit(output.show(made))


def with_streams() -> None:
    """Gives a process what it was called without, as with `>&-`: a file of ours would take the stream's number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, "w" if number else "r", encoding="utf-8")  # noqa: SIM115 (as long as the process)
            if stream.fileno() != number:
                os.dup2(stream.fileno(), number)
            setattr(sys, name, stream)


def in_utf8() -> None:
    """Starts the process anew where the locale is not UTF-8: files are, whatever the terminal is."""
    if locale.getpreferredencoding(False).lower().replace("-", "") != "utf8":
        variables = {"PYTHONUTF8": "1", "PYTHONIOENCODING": sys.stdout.encoding}
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | variables)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command and ends the process; an error that people can mend is one line on standard error.

    Args:
      argv: arguments without the program's name; those of the process when None.
    """
    make_readable(sys.stdout, sys.stderr)
    arguments = list(sys.argv[1:] if argv is None else argv)
    with output.as_asked(arguments):
        _main(arguments)


def _main(arguments: list[str]) -> None:
    try:
        os.getcwd()
    except FileNotFoundError:
        _fail("error: the folder that this was called in is gone; go to another one", InputError.exit_code)
    try:
        code = cli.main(args=arguments, prog_name=_called(), complete_var=COMPLETE_VARIABLE, standalone_mode=False)
    except click.ClickException as error:
        # (Without any arguments the message is the whole help.)
        is_help = isinstance(error, click.exceptions.NoArgsIsHelpError)
        output.fail("give a command; --help names them" if is_help else error.format_message(), error.exit_code)
        error.show()
        if isinstance(error, click.NoSuchOption) and error.option_name == "--root":
            click.echo("It goes before the command: --root FOLDER COMMAND", err=True)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader (`| head`) has seen enough.
        output.to_nobody(sys.stdout)
        sys.exit(0)
    except Exception as error:
        if COMPLETE_VARIABLE in os.environ:
            # A shell has asked while a person types: nothing to complete is better than a trace in the line.
            sys.exit(1)
        fault = classify(error)
        if fault is None:
            output.fail(f"{type(error).__name__}: {error}", 1)
            raise
        # What it is called in messages is not how everybody calls it.
        told = visible(str(fault)).replace("./millrace ", f"{_called()} ")
        _fail(f"error: {told}", fault.exit_code)
    sys.exit(code)


def _called() -> str:
    """How the command was called, as a person would type it again."""
    called = os.environ.get(CALLED_VARIABLE, "millrace")
    name = os.path.basename(called)
    # What a shell finds on the path, it calls by its whole path.
    return name if shutil.which(name) == called else called


def _fail(line: str, exit_code: int) -> None:
    output.fail(line.removeprefix("error: "), exit_code)
    click.echo(line, err=True)
    sys.exit(exit_code)
