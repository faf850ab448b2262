"""``aral demo``: three methods on photographs, side by side, in a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from aral import benchmarking, reports
from aral.cli.options import Threads
from aral.cli.printing import say
from aral.cli.run import load_data, spec_and_folder, with_progress
from aral.data.photographs import PHOTOGRAPH_CLASSES, save_photographs
from aral.representations.settings import EMBEDDED

METHODS = ("pseudo-label+linear-herding", "linear+linear-herding", "linear+random")
SETTINGS = (
    f'representation.backbone="{EMBEDDED}"',
    "rounds.query_size=12",
    "rounds.budget=60",
    'rounds.first_query="centroids"',
)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("demo")(demo_command)


def demo_command(
    folder: Annotated[Path, typer.Option(help="Where the photographs, the runs and the picture go.")] = Path(
        "demo"
    ),
    seed: Annotated[int, typer.Option(help="Fixes everything random.")] = 0,
    threads: Threads = None,
) -> None:
    """Compare three methods on 300 small photographs that come with aral: 12 to 60 labels, in a minute."""
    console = Console(stderr=True)
    photographs = folder / "photographs"
    unsorted = save_photographs(photographs, folder / "unsorted")
    compared, records = [], []
    for name in METHODS:
        method = benchmarking.Method.parse(name)
        first = () if method.acquisition != "random" else ('rounds.first_query="random"',)
        spec, target = spec_and_folder(
            folder.joinpath, str(photographs), method, [*SETTINGS, *first], seed=seed, threads=threads
        )
        with_progress(spec, load_data(spec, None), target, console)
        compared.append(benchmarking.Unit(target.name, spec))
        records.append(benchmarking.read_run(target))
        reports.write_report(records[-1])
    parity = benchmarking.verify(compared, folder)
    comparison = benchmarking.compare_runs(records, parity=parity.values())
    page = reports.write_comparison(comparison, folder)
    say("\nTest accuracy in % by number of labels:\n")
    say(reports.side_by_side(records))
    say(f"\nPicture: {folder / 'curves.png'}\nReport:  {page}")
    if unequal := reports.unequal_settings_line(comparison):
        say(unequal)
    say(f"\nLabel them yourself:  aral label {unsorted} --classes {','.join(PHOTOGRAPH_CLASSES)} --budget 60")
