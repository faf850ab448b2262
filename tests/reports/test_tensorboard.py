"""The copy for TensorBoard, through a writer that remembers; TensorBoard itself is not needed."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aral.benchmarking import read_run
from aral.errors import BadInput
from aral.reports import export_tensorboard
from aral.reports.tensorboard import write_scalars

MakeRun = Callable[..., Path]


class Remembered:
    """A writer that keeps what it was given.

    Attributes:
        scalars: (tag, value, step) in order.
        texts: likewise.
        closed: whether it was closed.
    """

    def __init__(self) -> None:
        self.scalars: list[tuple[str, float, int]] = []
        self.texts: list[tuple[str, str, int]] = []
        self.closed = False

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        self.scalars.append((tag, scalar_value, global_step))

    def add_text(self, tag: str, text_string: str, global_step: int) -> None:
        self.texts.append((tag, text_string, global_step))

    def close(self) -> None:
        self.closed = True


def test_every_number_goes_along_with_its_step(make_run: MakeRun) -> None:
    writer = Remembered()
    write_scalars(read_run(make_run(seed=3)), writer)
    accuracies = [each for each in writer.scalars if each[0] == "round/accuracy"]
    assert accuracies == [("round/accuracy", 0.5, 10), ("round/accuracy", 0.75, 20)], "the step is the labels"
    losses = [each[1:] for each in writer.scalars if each[0] == "loss/reconstruction"]
    assert losses == [(8.0, 0), (2.0, 3), (8.0, 4), (2.0, 7)], "four steps a round, counted on"
    odd = [value for tag, value, _ in writer.scalars if tag == "loss/<b>odd</b>"]
    assert odd[0] == 1.0 and math.isnan(odd[1])
    assert len(writer.scalars) == 2 * (8 + 3 + 2 * 2)
    assert writer.texts == [("run", "    aral+aral on shapes (JPEG copy), seed 3", 0)]


def test_without_tensorboard_it_says_how_to_get_it(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(BadInput, match="not installed") as raised:
        export_tensorboard(make_run(), tmp_path / "logs")
    assert raised.value.hint == "Install it first: pip install 'aral[track]'"
    assert not (tmp_path / "logs").exists()


def test_an_export_is_made_once_and_closed(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, places = Remembered(), []

    def open_writer(place: Path) -> Remembered:
        places.append(place)
        place.mkdir(parents=True)
        (place / "events.out.tfevents.1.host").touch()
        return writer

    monkeypatch.setattr("aral.reports.tensorboard._summary_writer", open_writer)
    folder = make_run("first run")
    assert export_tensorboard(folder, tmp_path / "logs") == tmp_path / "logs" / "first run"
    assert places == [tmp_path / "logs" / "first run"]
    assert writer.closed and writer.scalars
    with pytest.raises(BadInput, match="already holds an export"):
        export_tensorboard(folder, tmp_path / "logs")
    assert len(places) == 1


def test_a_failed_export_is_closed(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Remembered()

    def full(tag: str, scalar_value: float, global_step: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "add_scalar", full)
    monkeypatch.setattr("aral.reports.tensorboard._summary_writer", lambda place: writer)
    with pytest.raises(OSError, match="No space left"):
        export_tensorboard(make_run(), tmp_path / "logs")
    assert writer.closed
