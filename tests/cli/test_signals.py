"""Ctrl+C, SIGTERM and SIGHUP: everything is saved, the exit code tells which it was, and the run goes on."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from aral import benchmarking
from aral.annotation import Project
from aral.benchmarking import GridResult, GridSpec, State, UnitResult
from aral.cli import compare
from aral.cli.screen import Screen
from aral.cli.stopping import stopping_on_signals
from aral.testing import save_digits
from tests.cli.conftest import PERCEPTRONS, SHORT

SIGNALS = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGHUP: 129}
RUN = ["run", "digits", "--method", "supervised+random", *SHORT, *PERCEPTRONS, "--steps=8", "--folder"]
every_signal = pytest.mark.parametrize(("number", "code"), SIGNALS.items(), ids=lambda each: str(int(each)))


def figures(said: str) -> list[dict[str, object]]:
    """The rounds that a run prints as JSON, durations aside."""
    return [
        {name: value for name, value in row.items() if "seconds" not in name}
        for row in json.loads(said)["rounds"]
    ]


@every_signal
def test_a_run_stops_and_goes_on_as_if_undisturbed(
    aral, here, monkeypatch, capsys, number: int, code: int
) -> None:
    sent: list[float] = []
    step = Screen.step

    def send_at_the_third(self: Screen, round_number: int, done: int, *more: object) -> None:
        step(self, round_number, done, *more)  # type: ignore[arg-type]
        if not sent and done == 3:
            sent.append(time.monotonic())
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patched:
        patched.setattr(Screen, "step", send_at_the_third)
        assert aral(*RUN, "mine") == code
    assert time.monotonic() - sent[0] < 5
    said = capsys.readouterr().err
    assert "step 3 of 8" in said and "Run the same command again" in said and "Traceback" not in said
    assert aral(*RUN, "mine", "--json") == 0
    resumed = figures(capsys.readouterr().out)
    assert aral(*RUN, "undisturbed", "--json") == 0
    assert resumed == figures(capsys.readouterr().out)


@every_signal
def test_a_comparison_ends_with_the_signals_code(
    aral, here, monkeypatch, capsys, number: int, code: int
) -> None:
    def stopped(grid: GridSpec, folder: Path, *arguments: Any) -> GridResult:
        os.kill(os.getpid(), number)
        stopping = arguments[2]
        assert stopping()
        unit = UnitResult("one", "supervised+random", 0, State.STOPPED, None, 0, "", 0)
        return GridResult(grid, folder, "", (unit,), (), (), ())

    monkeypatch.setattr(benchmarking, "run_grid", stopped)
    monkeypatch.setattr(compare, "report_grid", lambda *arguments: (None, None))
    assert aral("compare", "digits", "--methods", "random", "--seeds", "1") == code
    assert "everything is saved" in capsys.readouterr().err


def test_a_second_ctrl_c_does_not_wait() -> None:
    with pytest.raises(KeyboardInterrupt), stopping_on_signals() as stopping:
        os.kill(os.getpid(), signal.SIGINT)
        assert stopping()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)


@every_signal
def test_watching_a_folder_ends_with_the_signals_code(
    aral, here, monkeypatch, capsys, number: int, code: int
) -> None:
    save_digits(here / "photos", 2)
    with Project.create_or_open(here / "photos") as project:
        project.images.sync()
        images = type(project.images)
    real = images.sync

    def send_and_sync(self: Any, *arguments: Any, **options: Any) -> Any:
        os.kill(os.getpid(), number)
        return real(self, *arguments, **options)

    monkeypatch.setattr(images, "sync", send_and_sync)
    assert aral("sync", "photos", "--watch", "60") == code
