"""Live progress fits a terminal of 80 columns: round, step, time left, accuracy and losses are all there."""

from __future__ import annotations

import io
import re

from rich.console import Console

from aral.benchmarking import Job, Progress, State
from aral.cli.screen import Screen
from aral.plural import rough_duration

LOSSES = {"tell real": 0.5, "total D": 0.5123, "total S": 1.2, "total E+G": 213.0}


def test_a_line_of_80_columns_says_everything() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=80)
    with Screen(console, "digits aral:released+aral-diverse", 10) as screen:
        screen.evaluated(2, 30, {"accuracy": 0.7444, "sampler AUC": 0.9})
        screen.stage(3, "training")
        for step in range(1, 151):
            screen.step(3, step, 150, LOSSES)
        screen._progress.refresh()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written.getvalue())
    assert "digits aral:released+aral-diverse  round 2: 30 labels  accuracy 74.44 %" in text
    last = [line for line in re.split(r"[\r\n]", text) if "150/150" in line][-1]
    for part in ("round 3 training", "left", "74.44 %", "D 0.51", "S 1.2", "E+G 2.1e+02"):
        assert part in last, (part, last)
    assert len(last.rstrip()) <= 80


def test_pretraining_has_a_line_and_a_pace_of_its_own() -> None:
    """It belongs to no round, its time left is its own, and the rounds' estimate does not count its steps."""
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=80)
    with Screen(console, "digits aral", 10) as screen:
        screen.stage(-1, "pretraining")
        screen.step(-1, 1, 40, LOSSES)
        now, first = screen._started or (0.0, 0)
        assert first == 0
        screen._started = (now - 30.0, first)  # 20 steps in 30 seconds
        screen.step(-1, 20, 40, LOSSES)
        screen._progress.refresh()
        (task,) = screen._progress.tasks
        assert task.description == "pretraining" and (task.completed, task.total) == (20, 40)
        assert task.fields["left"] == "30 s left"
        screen.stage(0, "querying")
        screen.stage(0, "training")
        screen.step(0, 1, 5, LOSSES)
        now, first = screen._started or (0.0, 0)
        assert first == 0
        screen._started = (now - 10.0, first)  # 5 of 10 rounds of 5 steps
        screen.step(0, 5, 5, LOSSES)
        assert task.fields["left"] == "90 s left" or task.fields["left"] == "2 min left"
        assert task.description == "round 0 training"


def test_pretraining_steps_of_a_unit_do_not_count_for_its_rounds() -> None:
    job = Job("unit", {}, 10, 50, State.RUNNING, Progress(round=-1, step=700))
    assert job.steps_done == 0
    assert Job("unit", {}, 10, 50, State.RUNNING, Progress(round=2, step=7)).steps_done == 107


def test_a_rough_duration_has_one_unit() -> None:
    assert [rough_duration(seconds) for seconds in (5.0, 600.0, 7200.0)] == ["5 s", "10 min", "2.0 h"]
