"""The commands; each body calls one function and shows what came of it."""

from __future__ import annotations

import os
import sys

import typer
from rich.console import Console

from aral.cli import compare, demo, doctor, export, figures, label, listing, predict, report, run, status
from aral.cli.stopping import exit_code_of_signal
from aral.errors import AralError, Stopped

app = typer.Typer(
    name="aral",
    help="Label-efficient image classification by adversarial representation active learning.",
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
status.add_to(app)
doctor.add_to(app)
predict.add_to(app)
export.add_to(app)

TRACEBACK = "ARAL_TRACEBACK"


def main() -> None:
    """Run a command; an error becomes a message of one screen and an exit code.

    Exit codes: 0 done, 1 failed while running, 2 bad input; 130 stopped by Ctrl+C, 143 by SIGTERM, 129 by
    SIGHUP (run again to go on).
    """
    try:
        app()
    except Stopped as stopped:
        _explain(stopped)
        sys.exit(exit_code_of_signal() or stopped.exit_code)
    except AralError as error:
        if os.environ.get(TRACEBACK):
            raise
        sys.exit(_explain(error))
    except KeyboardInterrupt:
        Console(stderr=True).print("Stopped at once; the last checkpoint is kept. Run again to go on.")
        sys.exit(130)


def _explain(error: AralError) -> int:
    console = Console(stderr=True)
    console.print(error.problem, style="red", highlight=False, markup=False, soft_wrap=True)
    if error.hint:
        console.print(error.hint, highlight=False, markup=False, soft_wrap=True)
    return error.exit_code
