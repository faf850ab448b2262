"""``aral list`` and ``aral settings``: names and settings to choose from."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from aral import benchmarking, data
from aral.cli.options import AsJson, RepresentationOption, SetOption, default_representation, short_settings
from aral.cli.printing import say


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("list")(list_command)
    app.command("settings")(settings_command)


def list_command(as_json: AsJson = False) -> None:
    """List data sets, learners, acquisitions, short names of methods, and presets."""
    from aral.acquisition import ACQUISITIONS, Need

    table = {
        "data sets": list(data.NAMES),
        "learners": benchmarking.learner_titles(),
        "acquisitions": list(ACQUISITIONS),
        "with dropout": [name for name, each in ACQUISITIONS.items() if Need.MC_PROBABILITIES in each.needs],
        "short names": [f"{short} = {full}" for short, full in benchmarking.SHORT_NAMES.items()],
        "presets": benchmarking.preset_names(),
    }
    if as_json:
        say(json.dumps(table, indent=2))
        return
    for title, names in table.items():
        say(f"{title + ':':14}{', '.join(names)}")
    say(
        "Acquisitions 'with dropout' need Monte-Carlo passes: networks mlp, features, conv32 or resnet, or biggan with "
        "learner.networks.block_dropout above 0; not compact."
    )


def settings_command(
    dataset: Annotated[str, typer.Argument(help="A data set, or a folder of class folders.")],
    method: Annotated[str, typer.Option(help="A method.")] = "auto",
    representation: RepresentationOption = None,
    setting: SetOption = None,
) -> None:
    """Print all settings that a method uses as JSON. Each can be changed with --set."""
    chosen = benchmarking.Method.parse(method)
    settled = benchmarking.settle_representation(
        dataset,
        [chosen],
        [*short_settings(representation=representation), *(setting or [])],
        default=default_representation(dataset),
    )
    spec = benchmarking.resolve(dataset, chosen, settled.settings, representation_chosen=settled.reason)
    if chosen_text := benchmarking.auto_text([spec]):
        say(chosen_text, err=True)
    say(json.dumps(benchmarking.used_settings(spec), indent=2))
