"""The table of a comparison for a paper, as LaTeX or Markdown: accuracy by method and labels, verdicts marked."""

from __future__ import annotations

from pathlib import Path

from aral.benchmarking import Comparison, CurvePoint, Measure, Verdict
from aral.errors import BadInput
from aral.plural import counted
from aral.reports.curves import complete_points
from aral.reports.text import NONE, measure_in_words

SUFFIXES = (".tex", ".md")

MOST_COLUMNS = 8
"""With more numbers of labels than this, so many of them are shown, evenly spread, with the first and the last."""

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': "''", "→": r"$\rightarrow$", "−": r"$-$",
    "±": r"$\pm$", "×": r"$\times$", "≥": r"$\geq$", "≤": r"$\leq$", "…": r"\ldots{}", "–": r"--",
}  # fmt: skip
_MARKDOWN = "\\`*_{}[]<>()#+-.!|~$@&"

_MARKS = {
    Verdict.BETTER: ("▲", r"$\blacktriangle$"),
    Verdict.WORSE: ("▼", r"$\blacktriangledown$"),
    Verdict.NO_DIFFERENCE: ("=", "$=$"),
    Verdict.INCONCLUSIVE: ("?", "?"),
}


def table_file(comparison: Comparison, path: Path) -> bytes:
    """The content of a file with the table, in the form that its ending names.

    Raises:
        BadInput: the ending is none of :data:`SUFFIXES`, or no accuracy is known.
    """
    check_table_name(path)
    if not comparison.curves:
        raise BadInput(
            f"No {comparison.metric} is known yet, so there is no table.", "Run the methods first."
        )
    text = latex_table(comparison) if path.suffix.lower() == ".tex" else markdown_table(comparison)
    return text.encode("utf-8")


def check_table_name(path: Path) -> None:
    """Refuse a file name whose ending names no form of a table.

    Raises:
        BadInput: says which endings do.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise BadInput(f"{path} ends in none of {', '.join(SUFFIXES)}.", "Try --table accuracies.tex")


def latex_table(comparison: Comparison) -> str:
    """A ``table`` for the packages booktabs and amssymb: mean ± s.d. in per cent, a row for each method."""
    columns = _columns(comparison)
    rows = []
    for method, points in _points(comparison).items():
        cells = [_latex_cell(points.get(count)) for count in columns]
        mark = _mark(comparison, method)
        rows.append(f"{latex(method)} & {' & '.join(cells)} & {mark[1] if mark else ''} \\\\")
    heads = " & ".join(str(count) for count in columns)
    return "\n".join(
        [
            r"% needs \usepackage{booktabs} and, for the triangles, \usepackage{amssymb}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{latex(_caption(comparison))} {_legend(comparison, for_latex=True)}}}",
            rf"\begin{{tabular}}{{l{'r' * len(columns)}c}}",
            r"\toprule",
            rf"method & {heads} & \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def markdown_table(comparison: Comparison) -> str:
    """A table of GitHub's Markdown with the caption below it: mean ± s.d. in per cent, a row for each method."""
    columns = _columns(comparison)
    lines = [
        f"| method | {' | '.join(str(count) for count in columns)} | |",
        f"|---|{'---:|' * len(columns)}:---:|",
    ]
    for method, points in _points(comparison).items():
        cells = [_cell(points.get(count)) for count in columns]
        mark = _mark(comparison, method)
        lines.append(f"| {markdown(method)} | {' | '.join(cells)} | {mark[0] if mark else ''} |")
    return "\n".join(
        [*lines, "", f"{markdown(_caption(comparison))} {_legend(comparison, for_latex=False)}", ""]
    )


def latex(text: str) -> str:
    """Text that LaTeX prints as it is; line breaks become blanks."""
    plain = "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()).replace("--", "-\0-"))
    return plain.replace("\0", "{}")  # two hyphens would be a dash


def markdown(text: str) -> str:
    """Text that Markdown shows as it is, also in a cell of a table; line breaks become blanks."""
    return "".join(f"\\{letter}" if letter in _MARKDOWN else letter for letter in " ".join(text.split()))


def _points(comparison: Comparison) -> dict[str, dict[int, CurvePoint]]:
    """The points that all seeds of a method have reached, by method and number of labels."""
    return {
        method: {point.labelled: point for point in points}
        for method, points in complete_points(comparison.curves).items()
    }


def _columns(comparison: Comparison) -> list[int]:
    counts = sorted({count for points in _points(comparison).values() for count in points})
    if len(counts) <= MOST_COLUMNS:
        return counts
    last = len(counts) - 1
    return [counts[round(place * last / (MOST_COLUMNS - 1))] for place in range(MOST_COLUMNS)]


def _cell(point: CurvePoint | None) -> str:
    if point is None:
        return NONE
    mean = f"{100 * point.mean:.2f}"
    return mean if point.deviation is None else f"{mean} ± {100 * point.deviation:.2f}"


def _latex_cell(point: CurvePoint | None) -> str:
    return "--" if point is None else _cell(point).replace(" ± ", r" $\pm$ ")


def _mark(comparison: Comparison, method: str) -> tuple[str, str] | None:
    """The sign of the verdict on the area, as text and for LaTeX; None without a verdict."""
    verdicts = [
        row.verdict for row in comparison.verdicts if row.method == method and row.measure is Measure.AREA
    ]
    return _MARKS[verdicts[0]] if verdicts else None


def _caption(comparison: Comparison) -> str:
    counts = sorted({max(p.seeds for p in points.values()) for points in _points(comparison).values()})
    seeds = (
        counted(counts[-1], "seed") if len(counts) == 1 else f"{counts[0]} to {counted(counts[-1], 'seed')}"
    )
    measure = comparison.measure
    values = "mean ± standard deviation over the seeds" if counts[-1] > 1 else "a single seed"
    last = [record.last_evaluated for record in comparison.records]
    sizes = sorted({int(each.confusion.sum()) for each in last if each and each.confusion is not None})
    of_test = f", test set of {counted(sizes[0], 'image')}" if len(sizes) == 1 else ""
    shown = len({point.labelled for point in comparison.curves})
    some = f" {MOST_COLUMNS} of {shown} numbers of labels are shown." if shown > MOST_COLUMNS else ""
    what = f"{measure.capitalize()} in per cent by number of labels"
    return f"{what} on {comparison.data}{of_test}: {values} ({seeds}).{some}"


def _legend(comparison: Comparison, for_latex: bool) -> str:
    """What the marks mean, and against which baselines."""
    rows = [row for row in comparison.verdicts if row.measure is Measure.AREA]
    if not rows:
        return "No verdicts: there is no baseline."
    escape, place = (latex, 1) if for_latex else (markdown, 0)
    verdicts = dict.fromkeys(row.verdict for row in rows)
    marks = ", ".join(f"{_MARKS[verdict][place]} {escape(verdict.value)}" for verdict in verdicts)
    baselines = dict.fromkeys(row.baseline for row in rows)
    against = escape(next(iter(baselines))) if len(baselines) == 1 else "the baseline of each method"
    return f"Verdicts on the {measure_in_words(Measure.AREA, comparison.metric)} against {against}: {marks}."
