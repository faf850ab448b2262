"""Drawings: learning curves, losses and diagnostics, without any global figure."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from textwrap import wrap

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from aral.benchmarking import Comparison, CurvePoint, LossTrace, RunRecord, curve_points
from aral.benchmarking.statistics import Interval
from aral.plural import counted
from aral.reports.run_report import estimate_of, recorded_diagnostics


@dataclass(frozen=True)
class Theme:
    """Colours of a drawing; the lines have those of Okabe and Ito, which remain distinct in colour blindness.

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
"""When all colours are used, they repeat with the next line style."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")

TITLE_LETTERS = 70
"""A longer title is broken into lines."""

COLUMN_LETTERS = 45
"""With a longer name than this the legend has one column."""

TICKS = 10
"""Up to this many numbers of labels are all marked on the axis."""


def complete_points(points: Sequence[CurvePoint]) -> dict[str, list[CurvePoint]]:
    """The points of each method that all of its seeds have reached, by method.

    While runs are unfinished, a mean over the few seeds that are ahead would draw a jump that does not exist.
    """
    methods: dict[str, list[CurvePoint]] = {}
    for point in points:
        methods.setdefault(point.method, []).append(point)
    return {
        method: [point for point in own if point.seeds == max(each.seeds for each in own)]
        for method, own in methods.items()
    }


def has_costs(points: Sequence[CurvePoint]) -> bool:
    """Whether there is a curve by cost: every point has one."""
    return bool(points) and all(point.cost is not None for point in points)


def learning_curves(comparison: Comparison, theme: Theme = LIGHT, by_cost: bool = False) -> Figure | None:
    """Test accuracy in per cent against the number of labels; None before any accuracy is known.

    Several seeds of a method give one line, their mean, inside a band: the 95 % t-interval of the mean at each
    number of labels, cut off at 0 and 100 %. A single seed has no band. If all methods have equally many seeds,
    the title gives their number, otherwise the legend does. Full training is a horizontal line.

    Args:
        comparison: the curves and their title.
        theme: the colours.
        by_cost: against what the labels cost, not their number; then None where there are no costs.
    """
    if by_cost and not has_costs(comparison.curves):
        return None
    return _curves(
        comparison.curves, comparison.data, comparison.measure, comparison.reference, theme, by_cost
    )


def run_curve(
    record: RunRecord, reference: float | None = None, theme: Theme = LIGHT, by_cost: bool = False
) -> Figure | None:
    """The learning curve of one run; None before any accuracy is known.

    Args:
        record: the run.
        reference: accuracy of training on all labels, in [0, 1], drawn as a horizontal line.
        theme: the colours.
        by_cost: as for :func:`learning_curves`.
    """
    points: Sequence[CurvePoint] = curve_points([record])
    if by_cost and not has_costs(points):
        return None
    if record.of_project:
        estimates = {each.labelled: estimate_of(each) for each in record.rounds if each.accuracy is not None}
        points = [
            replace(point, interval=Interval(estimate.low, estimate.high))
            if (estimate := estimates[point.labelled]) is not None
            else point
            for point in points
        ]
    return _curves(points, record.data.title, record.measure, reference, theme, by_cost)


def _curves(
    points: Sequence[CurvePoint],
    title: str,
    measure: str,
    reference: float | None,
    theme: Theme,
    by_cost: bool = False,
) -> Figure | None:
    methods = complete_points(points)
    if not methods:
        return None
    figure, axes = _figure(theme, (7.2, 5.0))
    seeds = {own[0].seeds for own in methods.values()}
    alpha = 0.18 if len(methods) <= 4 else 0.08  # many bands lie over one another
    for place, (method, own) in enumerate(methods.items()):
        labels = [_place(point, by_cost) for point in own]
        means = [100 * point.mean for point in own]
        count = f" ({counted(own[0].seeds, 'seed')})" if len(seeds) > 1 else ""
        _line(axes, theme, place, labels, means, f"{method}{count}")
        bands = [point.interval for point in own if point.interval is not None]
        if bands and own[0].seeds == 1:  # of each point by itself; a single one has no band
            _whiskers(axes, _colour(theme, place), [point for point in own if point.interval is not None])
        elif bands:
            low = [max(0.0, 100 * band.low) for band in bands]
            high = [min(100.0, 100 * band.high) for band in bands]
            axes.fill_between(labels, low, high, color=_colour(theme, place), alpha=alpha, linewidth=0)
    if reference is not None:
        label = " trained on all labels"
        axes.axhline(100 * reference, color=theme.ink, linewidth=1, linestyle=(0, (5, 4)), label=label)
    shown = ""
    if max(seeds) == 1 and any(point.interval for own in methods.values() for point in own):
        shown = "95 % interval of each point"
    elif max(seeds) > 1:
        shown = f"{counted(max(seeds), 'seed') if len(seeds) == 1 else 'mean'}, 95 % interval"
    _title(axes, theme, title, shown)
    axes.set_xlabel("cost of the labels" if by_cost else "labelled images")
    axes.set_ylabel(f"{measure}, %")
    axes.set_ylim(top=min(axes.get_ylim()[1], 101.0))  # no axis up to 105 % around a point at 100 %
    counts = sorted({point.labelled for own in methods.values() for point in own})
    few = len(counts) <= TICKS and not by_cost
    axes.xaxis.set_major_locator(
        FixedLocator(counts) if few else MaxNLocator(integer=not by_cost, steps=[1, 2, 5, 10])
    )
    _legend(figure, axes, theme)
    return figure


def _place(point: CurvePoint, by_cost: bool) -> int | float:
    """Where a point is on the horizontal axis."""
    return point.cost if by_cost and point.cost is not None else point.labelled


def loss_chart(record: RunRecord, theme: Theme = LIGHT) -> Figure | None:
    """Each loss in a panel of its own over all training steps of the run; None if no loss was recorded.

    Thin lines separate the rounds; a loss that is not finite leaves a gap.
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
        _style(axes, theme)
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


def diagnostics_chart(record: RunRecord, theme: Theme = LIGHT) -> Figure | None:
    """Each recorded diagnostic by round, with the bound of collapse; None without any."""
    shown = recorded_diagnostics(record)
    if not shown:
        return None
    figure = Figure(figsize=(3.2 * len(shown) + 0.6, 2.6), layout="constrained", facecolor=theme.paper)
    for place, each in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), place + 1)
        _style(axes, theme)
        known = [row for row in record.rounds if each.name in row.numbers]
        values = _gaps([row.numbers[each.name] for row in known])
        _line(axes, theme, place, [row.round for row in known], values, each.name)
        axes.set_ylim(bottom=0)
        if each.bound is not None:
            axes.axhline(each.bound, color=theme.ink, linewidth=1, linestyle=(0, (5, 4)))
        axes.set_title(f"{each.name}, {each.unit}" if each.unit else each.name, color=theme.ink, fontsize=10)
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
        # A name in a script that the built-in font lacks is no error; browsers have the glyphs.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format=file_format, dpi=200, metadata=metadata)
    return buffer.getvalue()


def _figure(theme: Theme, size: tuple[float, float]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained", facecolor=theme.paper)
    axes = figure.add_subplot()
    _style(axes, theme)
    return figure, axes


def _style(axes: Axes, theme: Theme) -> None:
    axes.set_facecolor(theme.paper)
    axes.grid(color=theme.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=theme.ink, length=0)
    axes.xaxis.label.set_color(theme.ink)
    axes.yaxis.label.set_color(theme.ink)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(theme.ink)


def _line(
    axes: Axes, theme: Theme, place: int, x: Sequence[int | float], y: Sequence[float], label: str
) -> None:
    axes.plot(
        x,
        y,
        color=_colour(theme, place),
        linestyle=DASHES[place // len(theme.lines) % len(DASHES)],
        marker=MARKERS[(place + place // len(theme.lines)) % len(MARKERS)],  # another with each line style
        markersize=5,
        linewidth=2,
        label=f" {label}",  # matplotlib leaves out labels that begin with _
    )


def _whiskers(axes: Axes, colour: str, points: Sequence[CurvePoint]) -> None:
    """A line from the lower to the upper end of each point's interval."""
    for point in points:
        if point.interval is not None:
            low, high = 100 * point.interval.low, 100 * point.interval.high
            axes.vlines(point.labelled, low, high, color=colour, alpha=0.45, linewidth=5)


def _trace(axes: Axes, theme: Theme, start: int, trace: LossTrace) -> None:
    marker = "." if len(trace.steps) == 1 else None
    steps = [start + step for step in trace.steps]
    axes.plot(steps, _gaps(trace.values), color=theme.lines[0], linewidth=1.2, marker=marker)


def _gaps(values: Sequence[float]) -> list[float]:
    """Values that are not finite become NaN, which is drawn as a gap."""
    return [value if math.isfinite(value) else math.nan for value in values]


def round_starts(record: RunRecord) -> list[int]:
    """The training step, counted over the whole run from 0, at which each round begins."""
    starts, start = [], 0
    for round_record in record.rounds:
        starts.append(start)
        start += round_record.steps
    return starts


def _title(axes: Axes, theme: Theme, title: str, below: str) -> None:
    """A title that fits into the drawing, and a line below it unless that is empty."""
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
