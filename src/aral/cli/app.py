"""The commands of ``aral``, and how errors end them.

The module of a command is imported when the command is run: ``aral --help`` needs none of them.
"""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from aral import __version__
from aral.cli.printing import printable
from aral.cli.stopping import exit_code_of_signal
from aral.errors import AralError, RunFailed, Stopped

COMMANDS: dict[str, tuple[str, str]] = {
    "run": (
        "run",
        "Run active learning on a data set with known labels, from the first query to the report.",
    ),
    "resume": ("run", "Continue a run that was stopped or killed."),
    "compare": (
        "compare",
        "Compare methods over seeds under equal conditions; the same command resumes after a stop or a kill.",
    ),
    "figures": (
        "figures",
        "Run a figure of the paper. All differences from the paper are printed, recorded and reported.",
    ),
    "demo": (
        "demo",
        "Compare three methods on 300 small photographs that come with aral: 12 to 60 labels, in a minute.",
    ),
    "report": (
        "report",
        "Write the report of a run, or compare several runs; works while they are still running.",
    ),
    "list": ("listing", "List data sets, learners, acquisitions, short names of methods, and presets."),
    "settings": (
        "listing",
        "Print all settings that a method uses as JSON. Each can be changed with --set.",
    ),
    "select": (
        "selecting",
        "Select images of a folder or of shards to label and write them as CSV; no labels are needed.",
    ),
    "label": (
        "label",
        "Label a folder of images on a page in the browser, while a classifier learns from the answers.",
    ),
    "serve": (
        "label",
        "Serve a project without opening a browser: for Label Studio, or for other machines.",
    ),
    "sync": (
        "label",
        "Import images that were added to the folder, and record which are missing or changed.",
    ),
    "train-worker": (
        "label",
        "Train a project that is served with --no-train, as on another machine, until Ctrl+C.",
    ),
    "status": (
        "project",
        "Print the state of labelling and training, the estimated accuracy, and the address of the page.",
    ),
    "predict": (
        "project",
        "Classify every image below a folder or of shards and write CSV files with all probabilities.",
    ),
    "doctor": (
        "project",
        "Check versions, disk, memory, permissions and, with a folder, the files of its project.",
    ),
    "move": (
        "project",
        "Move a project's database from its SQLite file to a Postgres server, or back; what it replaces is kept.",
    ),
    "export": (
        "exchange",
        "Write labels (CSV, JSONL, Label Studio, ImageFolder), classifier, model card and report to a folder.",
    ),
    "import": (
        "exchange",
        "Import labels into a project, list the imports, or undo one. A label that is imported twice counts once.",
    ),
}
"""Module and first sentence of each command, in the order of ``aral --help``."""

TRACEBACK = "ARAL_TRACEBACK"


class DeferredCommand(TyperCommand):
    """A command by its name and first sentence; the rest is imported when it is run.

    Args:
        name: one of :data:`COMMANDS`.
    """

    def __init__(self, name: str) -> None:
        self._module, help_text = COMMANDS[name]
        super().__init__(name, help=help_text)

    def load(self) -> Any:
        """The command with its options."""
        made = typer.Typer(add_completion=False)
        import_module(f"aral.cli.{self._module}").add_to(made)
        return typer.main.get_group(made).commands[str(self.name)]

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """The context of the command with its options, which is what is then invoked."""
        return self.load().make_context(*arguments, **options)


class DeferredCommands(TyperGroup):
    """All commands, none of them imported."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes | {"commands": {name: DeferredCommand(name) for name in COMMANDS}})


app = typer.Typer(
    name="aral",
    cls=DeferredCommands,
    help="Label-efficient image classification: active learning, semi-supervised training and a labelling page.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


CAUSES = {
    errno.ENOSPC: "No space is left on the disk.",
    errno.EDQUOT: "No space is left in the quota of this user.",
    errno.EROFS: "The disk is read only.",
    errno.EACCES: "Access to a file is denied.",
    errno.EPERM: "Access to a file is denied.",
    errno.EMFILE: "Too many files are open (ulimit -n).",
    errno.EIO: "The disk reports an error.",
}
"""Errors of the machine, not of the program: a sentence and no traceback."""


def _print_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"aral {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def options_of_all_commands(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that come before the command."""


def main() -> None:
    """Run a command; an error becomes a short message and an exit code.

    Exit codes: 0 done, 1 failed while running, 2 bad input; 130 stopped by Ctrl+C, 143 by SIGTERM, 129 by
    SIGHUP (run the same command to continue).
    """
    try:
        app()
    except Stopped as stopped:
        _print_error(stopped)
        sys.exit(exit_code_of_signal() or stopped.exit_code)
    except AralError as error:
        if os.environ.get(TRACEBACK):
            raise
        sys.exit(_print_error(error))
    except OSError as error:
        if os.environ.get(TRACEBACK) or error.errno not in CAUSES:
            raise
        where = f" ({printable(str(error.filename))})" if error.filename else ""
        failure = RunFailed(
            f"{CAUSES[error.errno]}{where}", "What was saved before is intact: run the same command again."
        )
        code = _print_error(failure)
        sys.exit(exit_code_of_signal() or code)
    except KeyboardInterrupt:
        typer.echo(
            "Stopped at once; the last checkpoint is kept. Run the same command to continue.", err=True
        )
        sys.exit(130)


def _print_error(error: AralError) -> int:
    from rich.console import Console

    console = Console(stderr=True)
    console.print(printable(error.problem), style="red", highlight=False, markup=False, soft_wrap=True)
    if error.hint:
        console.print(printable(error.hint), highlight=False, markup=False, soft_wrap=True)
    return error.exit_code
