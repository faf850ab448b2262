"""Draw the learning curves of the docs from the rows in benchmarks/results.

    python benchmarks/draw_curves.py

Writes docs/images/NAME.svg for every grid that is kept, and docs/images/curves.svg for the README.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from method_names import current_name

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
IMAGES = ROOT / "docs" / "images"
GRIDS = {
    "digits": "digits",
    "digits-aral": "digits",
    "mnist-grid": "MNIST",
    "mnist-algorithm-1": "MNIST",
    "fashion-grid": "Fashion-MNIST",
    "fig5-cifar10": "CIFAR-10 (JPEG copy)",
}
OVERVIEW = {"MNIST": ("few-labels", "mnist-grid"), "Fashion-MNIST": ("few-labels-fashion", "fashion-grid")}
"""Panel of the README's figure → files of rows."""
SHOWN = ("graph-ssl+aral-graph", "aral:released+random", "aral:released+aral", "supervised+random")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
DASHES = ("-", "--", ":")

Curves = dict[str, dict[int, list[float]]]
"""Method → labels → accuracy in % of each seed."""


def curves_of(name: str) -> Curves:
    """The curves of one file of rows, methods under today's names."""
    kept: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    curves: Curves = defaultdict(lambda: defaultdict(list))
    for run in kept["runs"]:
        for point in run["rounds"]:
            curves[current_name(run["method"], run, kept)][point["labelled"]].append(100 * point["accuracy"])
    return curves


def draw(axes: Axes, title: str, curves: Curves) -> None:
    """Means over seeds and their 95 % confidence intervals (Student's t)."""
    for number, (method, by_labels) in enumerate(curves.items()):
        labels = np.array(sorted(by_labels))
        values = [np.array(by_labels[count]) for count in labels]
        middle = np.array([each.mean() for each in values])
        seeds = len(values[0])
        colour, dashes = COLOURS[number % len(COLOURS)], DASHES[number // len(COLOURS)]
        label = f"{method} ({seeds})"
        axes.plot(labels, middle, color=colour, linestyle=dashes, marker="o", markersize=3, label=label)
        if seeds > 1:
            half = (
                np.array([each.std(ddof=1) for each in values]) * stats.t.ppf(0.975, seeds - 1) / seeds**0.5
            )
            lower, upper = np.clip(middle - half, 0, 100), np.clip(middle + half, 0, 100)
            axes.fill_between(labels, lower, upper, color=colour, alpha=0.13, linewidth=0)
    axes.set(title=title, xlabel="labels", ylabel="test accuracy in %")
    axes.grid(alpha=0.3)


def save(figure: Figure, name: str) -> None:
    """As an SVG that is the same whenever it is drawn."""
    figure.savefig(IMAGES / f"{name}.svg", metadata={"Date": None}, facecolor="white")
    plt.close(figure)


def main() -> None:
    """Draw all."""
    mpl.use("svg")
    mpl.rcParams.update(
        {"svg.hashsalt": "aral", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    )
    for name, title in GRIDS.items():
        figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
        draw(axes, title, curves_of(name))
        figure.legend(loc="outside right upper", title="method (seeds)", frameon=False)
        save(figure, name)
    figure, panels = plt.subplots(1, 2, figsize=(8.6, 3.6), layout="constrained", sharey=True)
    for axes, (title, files) in zip(panels, OVERVIEW.items(), strict=True):
        known = {method: curve for name in files for method, curve in curves_of(name).items()}
        draw(axes, title, {method: known[method] for method in SHOWN})
    panels[1].set_ylabel("")
    panels[0].set_ylim(40, 100.5)
    handles, _ = panels[0].get_legend_handles_labels()
    figure.legend(handles, SHOWN, loc="outside lower center", ncols=4, frameon=False)
    save(figure, "curves")


if __name__ == "__main__":
    main()
