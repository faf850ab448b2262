"""Tables of a comparison for a paper."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from aral.benchmarking import Comparison, compare_runs, read_run
from aral.errors import BadInput
from aral.reports import latex_table, markdown_table, table_file
from aral.reports.paper_tables import latex, markdown

MakeRun = Callable[..., Path]


@pytest.fixture
def comparison(make_run: MakeRun) -> Comparison:
    """Three seeds of two methods, whose differences of 20 and 15 points hardly vary."""
    made = []
    for seed in range(3):
        for method, gain in (("aral+random", 0.0), ("aral+aral", 0.2)):
            accuracies = (0.5 + gain + 0.01 * seed, 0.6 + (0.75 + 0.01 * seed) * gain)
            folder = make_run(
                f"{method}-{seed}", method=method, seed=seed, accuracies=accuracies, pictures=False,
                data="cats_&_dogs", note="50 % of #1",
            )  # fmt: skip
            made.append(read_run(folder))
    return compare_runs(made)


def test_a_latex_table_has_means_deviations_marks_and_a_caption(comparison: Comparison) -> None:
    text = latex_table(comparison)
    lines = text.splitlines()
    assert r"method & 10 & 20 & \\" in lines
    assert r"aral+random & 51.00 $\pm$ 1.00 & 60.00 $\pm$ 0.00 &  \\" in lines
    assert r"aral+aral & 71.00 $\pm$ 1.00 & 75.20 $\pm$ 0.20 & $\blacktriangle$ \\" in lines
    caption = next(line for line in lines if line.startswith(r"\caption{"))
    assert r"cats\_\&\_dogs (50 \% of \#1)" in caption
    assert "(3 seeds)" in caption and "test set of 10 images" in caption
    assert "against aral+random" in caption and r"$\blacktriangle$ better" in caption
    assert text.count("{") == text.count("}"), "braces are balanced"
    assert re.search(r"(?<!\\)[#&%_]", caption) is None
    begun, ended = re.findall(r"\\begin{(\w+)}", text), re.findall(r"\\end{(\w+)}", text)
    assert begun == ended[::-1] == ["table", "tabular"]


def test_a_markdown_table_has_the_same(comparison: Comparison) -> None:
    lines = markdown_table(comparison).splitlines()
    assert lines[:2] == ["| method | 10 | 20 | |", "|---|---:|---:|:---:|"]
    assert lines[2] == r"| aral\+random | 51.00 ± 1.00 | 60.00 ± 0.00 |  |"
    assert lines[3].endswith("| 75.20 ± 0.20 | ▲ |")
    assert "3 seeds" in lines[-1] and "test set of 10 images" in lines[-1] and "▲ better" in lines[-1]


def test_a_dash_stands_for_what_is_unknown_and_long_curves_are_cut(make_run: MakeRun) -> None:
    long = read_run(make_run("long", accuracies=[0.5] * 20, pictures=False))
    short = read_run(make_run("short", method="aral+random", accuracies=[0.25], pictures=False))
    lines = markdown_table(compare_runs([long, short])).splitlines()
    heads = [cell.strip() for cell in lines[0].strip("|").split("|")]
    assert heads[0] == "method" and len(heads) == 10 and heads[1] == "10" and heads[8] == "200"
    assert lines[3].count("–") == 7 and "25.00 |" in lines[3] and "±" not in lines[3]
    assert "8 of 20 numbers of labels" in lines[-1].replace("\\", "") and "a single seed" in lines[-1]


@pytest.mark.parametrize(
    ("text", "for_latex", "for_markdown"),
    [
        (r"a\b{c}", r"a\textbackslash{}b\{c\}", r"a\\b\{c\}"),
        ("x_1^2~$&#%", r"x\_1\textasciicircum{}2\textasciitilde{}\$\&\#\%", r"x\_1^2\~\$\&\#%"),
        ("<b>|*`", r"\textless{}b\textgreater{}\textbar{}*`", r"\<b\>\|\*\`"),
        ("a--b\nc", "a-{}-b c", r"a\-\-b c"),
        ("学习 é", "学习 é", "学习 é"),
    ],
)
def test_names_are_printed_as_they_are(text: str, for_latex: str, for_markdown: str) -> None:
    assert (latex(text), markdown(text)) == (for_latex, for_markdown)


def test_the_ending_of_the_file_names_the_form(comparison: Comparison) -> None:
    assert table_file(comparison, Path("a.tex")).decode() == latex_table(comparison)
    assert table_file(comparison, Path("a.MD")).decode() == markdown_table(comparison)
    with pytest.raises(BadInput, match=r"\.tex, \.md"):
        table_file(comparison, Path("a.pdf"))


def test_without_an_accuracy_there_is_no_table(make_run: MakeRun) -> None:
    begun = read_run(make_run("begun", accuracies=[None], pictures=False))
    with pytest.raises(BadInput, match="No accuracy"):
        table_file(compare_runs([begun]), Path("a.tex"))
