"""The commands of ``aral``, and how errors end them."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from rich.console import Console

from aral import __version__
from aral.cli import compare, demo, exchange, figures, label, listing, project, report, run
from aral.cli.stopping import exit_code_of_signal
from aral.errors import AralError, Stopped

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
    except KeyboardInterrupt:
        Console(stderr=True).print(
            "Stopped at once; the last checkpoint is kept. Run the same command to continue."
        )
        sys.exit(130)


def _print_error(error: AralError) -> int:
    console = Console(stderr=True)
    console.print(error.problem, style="red", highlight=False, markup=False, soft_wrap=True)
    if error.hint:
        console.print(error.hint, highlight=False, markup=False, soft_wrap=True)
    return error.exit_code
