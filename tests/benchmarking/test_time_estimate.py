"""About how long units take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from aral.benchmarking import GridSpec, Unit, estimate_time, grid_of, load_data, read_run, run, units
from aral.cli import main

SETTINGS = ["rounds.budget=12", "rounds.query_size=4", "pool_size=60", "test_size=20"]


def grid(*methods: str, data: str = "digits", settings: tuple[str, ...] = ()) -> GridSpec:
    table = {
        "name": "g",
        "data": data,
        "methods": methods,
        "seeds": [0, 1],
        "settings": [*SETTINGS, *settings],
    }
    return grid_of(table)


def test_a_method_is_timed_by_a_few_steps_for_all_its_rounds(tmp_path: Path) -> None:
    """Twice as many steps take about twice as long; loads of the machine allow a wide range only."""
    threads = torch.get_num_threads()
    seconds = []
    for steps in (2000, 20000):
        made = units(grid("supervised+margin", settings=(f"learner.training.steps={steps}",)))
        found = estimate_time(made, lambda unit: tmp_path / unit.name, workers=2)
        assert found.seconds is not None and found.wall_seconds is not None
        assert found.workers == 2 and found.wall_seconds == pytest.approx(found.seconds / 2)
        assert found.by_method.keys() == {"supervised+margin"} and not found.unknown
        assert found.seconds == pytest.approx(2 * found.by_method["supervised+margin"])
        assert "a few training steps" in found.in_words() and "2 units at once" in found.in_words()
        seconds.append(found.seconds)
    assert seconds[1] > 2 * seconds[0] > 0
    assert torch.get_num_threads() == threads and not list(tmp_path.iterdir())


def test_earlier_rounds_time_a_method_and_what_is_finished_takes_no_time(tmp_path: Path) -> None:
    made = units(grid("linear+random"))
    first = made[0]
    run(first.spec, load_data(first.spec), tmp_path / first.name)
    record = read_run(tmp_path / first.name)
    found = estimate_time(made, lambda unit: tmp_path / unit.name, workers=1)
    assert found.basis == "earlier rounds"
    assert found.seconds == pytest.approx(record.seconds), "the other seed only"
    done = estimate_time([first], lambda unit: tmp_path / unit.name)
    assert done.seconds == 0


def test_a_method_that_cannot_be_timed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARAL_DATA", str(tmp_path))
    made: list[Unit] = [*units(grid("linear+random", data="mnist")), *units(grid("linear+margin"))]
    found = estimate_time(made, lambda unit: tmp_path / unit.name)
    assert found.unknown == {"linear+random": "Data set 'mnist' was not found."}
    assert found.seconds is not None and "without linear+random" in found.in_words()
    nothing = estimate_time(made[:2], lambda unit: tmp_path / unit.name)
    assert nothing.seconds is None and "not known (Data set 'mnist'" in nothing.in_words()


def test_images_of_a_folder_are_not_read_for_it(tmp_path: Path) -> None:
    """Random numbers of their size are enough; here no file could be read."""
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "1.png").write_bytes(b"no image")
    for settings in (
        ("learner.networks.discriminator_width=4",),
        ("representation.backbone=gradients",),
    ):
        made = units(grid("supervised+random", data=str(tmp_path / "photos"), settings=settings))
        found = estimate_time(made, lambda unit: tmp_path / unit.name)
        assert found.seconds is not None and found.seconds > 0


@pytest.mark.parametrize(
    "words",
    [
        ("run", "digits", "--method=linear"),
        ("compare", "digits", "--methods=linear,linear+random", "--seeds=3"),
    ],
)
def test_dry_runs_print_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["aral", *words, "--dry-run", "--json"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert not stopped.value.code
    said = capsys.readouterr()
    table = json.loads(said.out)
    assert table["time"]["seconds"] > 0 and table["time"]["by_method"] and "Time: about " in said.err
    assert not list(tmp_path.iterdir())
