"""Drawings: that their lines are the numbers, and that no name can spoil them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from aral.benchmarking import Comparison, Conditions, CurvePoint, RunRecord, compare_runs, read_run
from aral.benchmarking.comparison import FullTrainingResult
from aral.reports.curves import (
    DARK,
    LIGHT,
    complete_points,
    diagnostics_chart,
    learning_curves,
    loss_chart,
    png_bytes,
    run_curve,
    svg_bytes,
)
from aral.reports.run_report import collapse_warning

MakeRun = Callable[..., Path]


def compared(runs: list[RunRecord], reference: float | None = None) -> Comparison:
    """A comparison with a line of full training."""
    full = FullTrainingResult("supervised", None, (), reference)
    return replace(compare_runs(runs), conditions=Conditions(full_training=full))


def data_of(line: Line2D) -> tuple[list[Any], list[Any]]:
    """The points of a line."""
    return list(np.asarray(line.get_xdata())), list(np.asarray(line.get_ydata()))


def lines(figure: Figure | None, axes: int = 0) -> dict[str, tuple[list[Any], list[Any]]]:
    """The data of each line of a drawing by its label."""
    assert figure is not None
    return {str(line.get_label()): data_of(line) for line in figure.axes[axes].lines}


def test_a_curve_by_cost_has_the_mean_costs_of_each_round(make_run: MakeRun) -> None:
    """Seeds whose rounds differ in their number of labels have one point a round."""
    runs = [
        read_run(make_run(f"run{seed}", seed=seed, first_labelled=10 + seed, numbers={"cost": 2.5 + seed}))
        for seed in (0, 2)
    ]
    comparison = compare_runs(runs)
    assert [(point.labelled, point.seeds, point.cost) for point in comparison.curves] == [
        (11, 2, 3.5),
        (21, 2, 3.5),
    ]
    figure = learning_curves(comparison, by_cost=True)
    assert lines(figure)[" aral+aral"] == ([3.5, 3.5], [50, 75])
    assert figure is not None and figure.axes[0].get_xlabel() == "cost of the labels"
    drawn = run_curve(runs[0], by_cost=True)
    assert lines(drawn)[" aral+aral"] == ([2.5, 2.5], [50, 75])
    assert run_curve(read_run(make_run("plain")), by_cost=True) is None


def test_one_run_is_one_line_in_per_cent(make_run: MakeRun) -> None:
    figure = run_curve(read_run(make_run()), reference=0.9)
    drawn = lines(figure)
    assert drawn[" aral+aral"] == ([10, 20], [50, 75])
    assert drawn[" trained on all labels"][1] == [90, 90]
    assert figure is not None
    assert figure.axes[0].get_title() == "shapes (JPEG copy)"
    assert not figure.axes[0].collections, "one seed has no band"


def test_seeds_of_a_method_are_a_mean_and_a_band(make_run: MakeRun) -> None:
    runs = [
        read_run(make_run("a", accuracies=(0.59, 0.8))),
        read_run(make_run("b", accuracies=(0.61, 0.8), seed=1)),
        read_run(make_run("c", accuracies=(0.1, 0.2), method="random")),
    ]
    figure = learning_curves(compared(runs))
    drawn = lines(figure)
    x, y = drawn[" aral+aral (2 seeds)"]
    assert x == [10, 20]
    assert y == pytest.approx([60, 80])
    assert drawn[" random (1 seed)"] == ([10, 20], [10, 20])
    assert figure is not None
    assert figure.axes[0].get_title().endswith("\nmean, 95 % interval")
    (band,) = figure.axes[0].collections
    heights = np.array(band.get_paths()[0].vertices)[:, 1]
    # t of 97.5 % with 1 degree of freedom is 12.7062; the deviation of 59 and 61 is √2, divided by √2 seeds.
    assert heights.min() == pytest.approx(60 - 12.7062, abs=1e-3)
    assert heights.max() == pytest.approx(80)
    colours = [line.get_color() for line in figure.axes[0].lines]
    assert colours == list(LIGHT.lines[:2])


def test_nothing_leaves_the_drawing_however_long_titles_and_names_are(make_run: MakeRun) -> None:
    """Every text lies inside the figure: a long title breaks, long names get a column of their own."""
    runs = [
        read_run(make_run(f"{method}{seed}", accuracies=(0.5, 0.6 + 0.01 * seed), method=method, seed=seed))
        for method in ("supervised+variation-ratio", "aral:released+aral-diverse", "x" * 60, "b", "y" * 60)
        for seed in (0, 1)
    ]
    named = [
        replace(
            run,
            data=replace(
                run.data, note="JPEG copy; 20000 of 50000 pool images; 2000 of 10000 test images; " * 2
            ),
        )
        for run in runs
    ]
    for records in (runs, named):
        figure = learning_curves(compared(records, 0.9))
        assert figure is not None
        svg_bytes(figure)
        edge = figure.bbox
        (legend,) = figure.legends
        for text in (*legend.get_texts(), figure.axes[0].title, figure.axes[0].xaxis.label):
            box = text.get_window_extent()
            assert edge.x0 <= box.x0 and box.x1 <= edge.x1 and edge.y0 <= box.y0 and box.y1 <= edge.y1, text
        assert figure.axes[0].get_title().endswith("\n2 seeds, 95 % interval")
        assert " b" in lines(figure)


def test_a_band_stays_between_none_and_all(make_run: MakeRun) -> None:
    runs = [
        read_run(make_run(f"s{seed}", accuracies=(value,), seed=seed))
        for seed, value in enumerate((0.1, 0.9))
    ]
    figure = learning_curves(compared(runs))
    assert figure is not None
    heights = np.array(figure.axes[0].collections[0].get_paths()[0].vertices)[:, 1]
    assert (heights.min(), heights.max()) == (0, 100)


def test_a_mean_ends_where_a_seed_is_missing() -> None:
    both, ahead = CurvePoint("m", 10, 0.6, 0.1, 2, None), CurvePoint("m", 20, 0.9, None, 1, None)
    alone = CurvePoint("n", 20, 0.9, None, 1, None)
    assert complete_points([both, ahead, alone]) == {"m": [both], "n": [alone]}


def test_many_methods_stay_distinguishable(make_run: MakeRun) -> None:
    runs = [read_run(make_run(f"r{place}", method=f"m{place}", pictures=False)) for place in range(9)]
    figure = learning_curves(compared(runs), DARK)
    assert figure is not None
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == 9


def test_losses_follow_each_other_and_leave_gaps(make_run: MakeRun) -> None:
    figure = loss_chart(read_run(make_run()))
    assert figure is not None
    titles = {axes.get_title(): place for place, axes in enumerate(figure.axes)}
    first, second, border = [
        data_of(line)
        for line in sorted(
            figure.axes[titles["reconstruction"]].lines, key=lambda line: line.get_linewidth() < 1
        )
    ]
    assert first == ([0, 3], [8, 2])
    assert second == ([4, 7], [8, 2]), "four steps a round"
    assert border[0] == [4, 4]
    odd = figure.axes[titles["<b>odd</b>"]].lines[0].get_ydata()
    assert np.isnan(np.asarray(odd, dtype=float)).tolist() == [False, True]


def test_latents_are_drawn_by_round_beside_their_bounds(make_run: MakeRun) -> None:
    figure = diagnostics_chart(read_run(make_run()))
    assert [axes.get_title() for axes in (figure.axes if figure else [])] == [
        "latent std", "latent KL, nats", "sampler AUC",
    ]  # fmt: skip
    assert lines(figure, 1)[" latent KL"] == ([0, 1], [12.5, 12.5])
    assert [len(lines(figure, place)) for place in range(3)] == [2, 2, 1]


def test_the_share_of_recognised_generated_features_is_drawn_where_it_was_recorded(make_run: MakeRun) -> None:
    figure = diagnostics_chart(read_run(make_run(numbers={"generated recognised": 0.25})))
    assert figure is not None and figure.axes[-1].get_title() == "generated recognised"
    assert lines(figure, 3)[" generated recognised"] == ([0, 1], [0.25, 0.25])


def test_what_was_not_recorded_is_not_drawn(make_run: MakeRun, tmp_path: Path) -> None:
    running = read_run(make_run(accuracies=(None,)))
    assert run_curve(running) is None
    assert diagnostics_chart(running) is None


@pytest.mark.parametrize("name", ["_hidden", "$x_{", "学习", "a & <b>"])
def test_no_name_spoils_a_drawing(make_run: MakeRun, name: str) -> None:
    run = read_run(make_run(data=name, method=name, note=name))
    figure = learning_curves(compared([run, read_run(make_run("b", data=name, method="b", note=name))]))
    assert figure is not None
    drawing = svg_bytes(figure)
    text = "".join(ElementTree.fromstring(drawing.decode()).itertext())
    assert text.count(name) == 3, "data set, note and legend"
    assert png_bytes(figure).startswith(b"\x89PNG")


def test_the_same_run_gives_the_same_drawing(make_run: MakeRun) -> None:
    run = read_run(make_run())
    first, second = (run_curve(run) for _ in range(2))
    assert first is not None and second is not None
    assert svg_bytes(first) == svg_bytes(second)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({}, None),
        ({"latent std": 0.1, "latent KL": 1.0}, None),
        ({"latent std": 0.099}, "latent std is 0.099, below 0.1"),
        ({"latent KL": 0.17}, "latent KL is 0.17, below 1 nats"),
        ({"latent KL": float("nan")}, "latent KL is nan"),
    ],
)
def test_a_collapse_gives_a_warning(make_run: MakeRun, numbers: dict[str, float], words: str | None) -> None:
    warning = collapse_warning(read_run(make_run(numbers=numbers)).rounds[-1])
    if words is None:
        assert warning == ""
    else:
        assert warning.startswith("The latent codes have collapsed in round 1: ")
        assert words in warning
