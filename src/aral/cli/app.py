"""The commands of ``aral``, and how errors end them."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated

import typer
from rich.console import Console

from aral import __version__
from aral.cli import compare, demo, exchange, figures, label, listing, project, report, run
from aral.cli.printing import printable
from aral.cli.stopping import exit_code_of_signal
from aral.errors import AralError, RunFailed, Stopped

app = typer.Typer(
    name="aral",
    help="Label-efficient image classification: active learning, semi-supervised training and a labelling page.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
run.add_to(app)
compare.add_to(app)
figures.add_to(app)
demo.add_to(app)
report.add_to(app)
listing.add_to(app)
label.add_to(app)
project.add_to(app)
exchange.add_to(app)

TRACEBACK = "ARAL_TRACEBACK"


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
        sys.exit(exit_code_of_signal() or _print_error(failure))
    except KeyboardInterrupt:
        Console(stderr=True).print(
            "Stopped at once; the last checkpoint is kept. Run the same command to continue."
        )
        sys.exit(130)


def _print_error(error: AralError) -> int:
    console = Console(stderr=True)
    console.print(printable(error.problem), style="red", highlight=False, markup=False, soft_wrap=True)
    if error.hint:
        console.print(printable(error.hint), highlight=False, markup=False, soft_wrap=True)
    return error.exit_code
