"""``aral demo``: three methods on digits, side by side, in a few minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from aral.cli.options import Threads, processors
from aral.cli.run import with_progress
from aral.experiments import Method, load_data, resolve
from aral.reports import read_run, side_by_side, write_comparison, write_report

METHODS = ("aral", "supervised+random", "supervised+max-entropy")


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("demo")(demo_command)


def demo_command(
    folder: Annotated[Path, typer.Option(help="Where the runs and the picture go.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Fixes everything random.")] = 0,
    threads: Threads = None,
) -> None:
    """Compare ARAL with supervised learning on 8×8 digits that need no download: 10 to 100 labels."""
    console = Console(stderr=True)
    folders = []
    for name in METHODS:
        method = Method.parse(name)
        spec = resolve("digits", method, seed=seed, threads=threads or processors())
        target = folder / spec.folder_name
        with_progress(spec, load_data(spec), target, console)
        write_report(target)
        folders.append(target)
    comparison = write_comparison(folders, folder)
    typer.echo("\nTest accuracy in % by labels spent:\n")
    typer.echo(side_by_side([read_run(target) for target in folders]))
    typer.echo(f"Picture: {folder / 'curves.png'}\nReport:  {comparison}")
