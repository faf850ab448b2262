"""Pictures of numbers: learning curves, losses and the health of the latents, without any global figure."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from textwrap import wrap

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from aral.reports.health import LATENT_FIGURES
from aral.reports.record import LossTrace, RunRecord
from aral.reports.tables import CurvePoint, curve_points, curve_rows
from aral.words import counted


@dataclass(frozen=True)
class Theme:
    """Colours of a drawing; the lines are those of Okabe and Ito, which colour-blind people can tell apart.

    Attributes:
        paper: background.
        ink: text and axes.
        grid: lines behind the data.
        lines: colours of the lines, in order of use.
    """

    paper: str
    ink: str
    grid: str
    lines: tuple[str, ...]


LIGHT = Theme(
    "#ffffff", "#1c2126", "#dfe3e8",
    ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"),
)  # fmt: skip
DARK = Theme(
    "#1b2026", "#e6e9ed", "#363d45",
    ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#F0E442", "#FFFFFF"),
)  # fmt: skip

DASHES = ("-", "--", ":", "-.")
"""Once the colours are used up, they come again with the next of these."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")


TITLE_LETTERS = 70
"""A longer title goes on in a new line."""

COLUMN_LETTERS = 45
"""With a longer name than this the legend has one column."""

TICKS = 10
"""Up to this many numbers of labels are all marked on the axis."""


def steady_points(points: Sequence[CurvePoint]) -> dict[str, list[CurvePoint]]:
    """The points of each method that all of its seeds have reached, by method.

    Where runs are still going, a mean over the few seeds that are ahead would draw a jump that is none.
    """
    methods: dict[str, list[CurvePoint]] = {}
    for point in points:
        methods.setdefault(point.method, []).append(point)
    return {
        method: [point for point in own if point.seeds == max(each.seeds for each in own)]
        for method, own in methods.items()
    }


def learning_curves(
    records: Sequence[RunRecord], reference: float | None = None, theme: Theme = LIGHT
) -> Figure | None:
    """Test accuracy in per cent against the number of labels; None before any accuracy is known.

    Several seeds of a method give one line, their mean, inside a band: the 95 % t-interval of the mean at each
    number of labels, cut off at 0 and 100 %. A single seed has no band. The title says how many seeds there are
    where all methods have as many; otherwise each method's entry does.

    Args:
        records: runs on one data set.
        reference: accuracy of training on all labels, in [0, 1], drawn as a horizontal line.
        theme: the colours.
    """
    methods = steady_points(curve_points(curve_rows(records)))
    if not methods:
        return None
    figure, axes = _figure(theme, (7.2, 5.0))
    seeds = {points[0].seeds for points in methods.values()}
    alpha = 0.18 if len(methods) <= 4 else 0.08  # many bands lie over one another
    for place, (method, points) in enumerate(methods.items()):
        labels = [point.labelled for point in points]
        means = [100 * point.mean for point in points]
        own = f" ({counted(points[0].seeds, 'seed')})" if len(seeds) > 1 else ""
        _line(axes, theme, place, labels, means, f"{method}{own}")
        bands = [point.interval for point in points if point.interval is not None]
        if bands:
            low = [max(0.0, 100 * band.low) for band in bands]
            high = [min(100.0, 100 * band.high) for band in bands]
            axes.fill_between(labels, low, high, color=_colour(theme, place), alpha=alpha, linewidth=0)
    if reference is not None:
        axes.axhline(
            100 * reference, color=theme.ink, linewidth=1, linestyle=(0, (5, 4)), label=" all labels"
        )
    shown = ""
    if max(seeds) > 1:
        shown = f"{counted(max(seeds), 'seed') if len(seeds) == 1 else 'mean'}, 95 % interval"
    _title(axes, theme, records[0].data_title, shown)
    axes.set_xlabel("labelled images")
    axes.set_ylabel(f"{records[0].measure}, %")
    counts = sorted({point.labelled for points in methods.values() for point in points})
    axes.xaxis.set_major_locator(
        FixedLocator(counts) if len(counts) <= TICKS else MaxNLocator(integer=True, steps=[1, 2, 5, 10])
    )
    _legend(figure, axes, theme)
    return figure


def loss_traces(record: RunRecord, theme: Theme = LIGHT) -> Figure | None:
    """Each loss in a field of its own over all training steps of the run; None if no loss was recorded.

    Rounds follow each other, parted by thin lines; a loss that is not finite leaves a gap.
    """
    names = tuple(dict.fromkeys(name for round_record in record.rounds for name in round_record.losses))
    if not names:
        return None
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    figure = Figure(
        figsize=(3.2 * columns + 0.6, 2.1 * rows + 0.4), layout="constrained", facecolor=theme.paper
    )
    starts = round_starts(record)
    for place, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, place + 1)
        _dress(axes, theme)
        for start, round_record in zip(starts, record.rounds, strict=True):
            trace = round_record.losses.get(name)
            if trace is not None:
                _trace(axes, theme, start, trace)
            if start:
                axes.axvline(start, color=theme.ink, alpha=0.35, linewidth=0.6, zorder=0.5)
        axes.set_title(name, color=theme.ink, fontsize=10, parse_math=False)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    figure.supxlabel("training step", color=theme.ink, fontsize=10)
    return figure


def latent_health(record: RunRecord, theme: Theme = LIGHT) -> Figure | None:
    """Each recorded figure of the latents by round, with the bound below which it warns; None without any."""
    shown = [
        figure_of
        for figure_of in LATENT_FIGURES
        if any(figure_of.name in round_record.numbers for round_record in record.rounds)
    ]
    if not shown:
        return None
    figure = Figure(figsize=(3.2 * len(shown) + 0.6, 2.6), layout="constrained", facecolor=theme.paper)
    for place, latent in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), place + 1)
        _dress(axes, theme)
        known = [each for each in record.rounds if latent.name in each.numbers]
        values = _gaps([each.numbers[latent.name] for each in known])
        _line(axes, theme, place, [each.round for each in known], values, latent.name)
        axes.set_ylim(bottom=0)
        if latent.bound is not None:
            axes.axhline(latent.bound, color=theme.ink, linewidth=1, linestyle=(0, (5, 4)))
        axes.set_title(
            f"{latent.name}, {latent.unit}" if latent.unit else latent.name, color=theme.ink, fontsize=10
        )
        axes.set_xlabel("round")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def png_bytes(figure: Figure) -> bytes:
    """A drawing as a PNG file, 200 dots an inch."""
    return _saved(figure, "png")


def svg_bytes(figure: Figure) -> bytes:
    """A drawing as an SVG file, text kept as text; the same drawing gives the same bytes."""
    return _saved(figure, "svg")


def _saved(figure: Figure, file_format: str) -> bytes:
    FigureCanvasAgg(figure)
    buffer = BytesIO()
    metadata: Mapping[str, None] = {"Date": None} if file_format == "svg" else {}
    with (
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "aral"}),
        warnings.catch_warnings(),
    ):
        # A name in a script that the built-in font lacks is no reason to stop; browsers have the letters.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format=file_format, dpi=200, metadata=metadata)
    return buffer.getvalue()


def _figure(theme: Theme, size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained", facecolor=theme.paper)
    axes = figure.add_subplot()
    _dress(axes, theme)
    return figure, axes


def _dress(axes: Axes, theme: Theme) -> None:
    axes.set_facecolor(theme.paper)
    axes.grid(color=theme.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=theme.ink, length=0)
    axes.xaxis.label.set_color(theme.ink)
    axes.yaxis.label.set_color(theme.ink)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(theme.ink)


def _line(axes: Axes, theme: Theme, place: int, x: Sequence[int], y: Sequence[float], label: str) -> None:
    axes.plot(
        x,
        y,
        color=_colour(theme, place),
        linestyle=DASHES[place // len(theme.lines) % len(DASHES)],
        marker=MARKERS[(place + place // len(theme.lines)) % len(MARKERS)],  # another beside each dash
        markersize=5,
        linewidth=2,
        label=f" {label}",  # the blank keeps a name that begins with _ in the legend
    )


def _trace(axes: Axes, theme: Theme, start: int, trace: LossTrace) -> None:
    lone = "." if len(trace.steps) == 1 else None
    steps = [start + step for step in trace.steps]
    axes.plot(steps, _gaps(trace.values), color=theme.lines[0], linewidth=1.2, marker=lone)


def _gaps(values: Sequence[float]) -> list[float]:
    """Values with NaN, which is drawn as a gap, for those that are not finite."""
    return [value if math.isfinite(value) else math.nan for value in values]


def round_starts(record: RunRecord) -> list[int]:
    """The training step, counted over the whole run from 0, at which each round begins."""
    starts, start = [], 0
    for round_record in record.rounds:
        starts.append(start)
        start += round_record.steps
    return starts


def _title(axes: Axes, theme: Theme, title: str, below: str) -> None:
    """A title that stays within the drawing, and a line below it if there is something to say."""
    lines = [*wrap(title, TITLE_LETTERS), *([below] if below else [])]
    axes.set_title("\n".join(lines), color=theme.ink, fontsize=11, parse_math=False)


def _legend(figure: Figure, axes: Axes, theme: Theme) -> None:
    legend = figure.legend(
        loc="outside lower center",
        ncols=1 if len(axes.lines) <= 4 or _longest(axes) > COLUMN_LETTERS else 2,
        frameon=False,
        fontsize=9,
        labelcolor=theme.ink,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _longest(axes: Axes) -> int:
    return max(len(str(line.get_label())) for line in axes.lines)


def _colour(theme: Theme, place: int) -> str:
    return theme.lines[place % len(theme.lines)]
