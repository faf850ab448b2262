"""Precision and threads: chosen by measurement where they are ``auto``, recorded, kept on resume, shared in a grid."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from aral.benchmarking import GridSpec, Hardware, Method, resolve, units
from aral.benchmarking import hardware as module
from aral.benchmarking import spec as spec_module
from aral.benchmarking.grid_run import with_precision
from aral.benchmarking.runs import SETTINGS_FILE, recorded_hardware
from aral.cli.run import spec_and_folder
from aral.errors import BadInput

SUPERVISED = Method.parse("supervised")
OTHER = Hardware("bfloat16", 5, 3)


def taking(seconds: Callable[[str], float]) -> Callable[[torch.device, str], Callable[[], None]]:
    """A product that keeps the processor busy for some time, by precision."""

    def product(device: torch.device, precision: str) -> Callable[[], None]:
        def run() -> None:
            until = time.process_time() + seconds(precision)
            while time.process_time() < until:
                pass

        return run

    return product


@pytest.mark.parametrize(
    ("product", "convolution", "chosen"),
    [(0.25, 0.25, "bfloat16"), (0.25, 4, "float32"), (4, 0.25, "float32"), (0.95, 0.95, "float32")],
)
def test_bfloat16_only_where_both_kinds_of_products_are_faster(
    monkeypatch: pytest.MonkeyPatch, product: float, convolution: float, chosen: str
) -> None:
    for name, factor in (("matrix_product", product), ("convolution", convolution)):
        fake = taking(lambda precision, factor=factor: 2e-3 * (factor if precision == "bfloat16" else 1))
        monkeypatch.setattr(module, name, fake)
    assert module.measured.__wrapped__("cpu").precision == chosen


@pytest.mark.parametrize(("with_all", "chosen"), [(0.1, 4), (0.9, 1), (3, 1)])
def test_perceptrons_get_one_thread_unless_more_are_much_faster(
    monkeypatch: pytest.MonkeyPatch, with_all: float, chosen: int
) -> None:
    def product(device: torch.device, precision: str) -> Callable[[], None]:
        return lambda: time.sleep(0.1 * (with_all if torch.get_num_threads() == 4 else 1))

    monkeypatch.setattr(module, "matrix_product", product)
    monkeypatch.setattr(module, "convolution", taking(lambda precision: 1e-4))
    monkeypatch.setattr(module, "processors", lambda: 4)
    before = torch.get_num_threads()
    found = module.measured.__wrapped__("cpu")
    assert (found.mlp_threads, found.threads) == (chosen, 4)
    assert torch.get_num_threads() == before


def test_the_real_measurement_gives_an_answer() -> None:
    found = module.measured("cpu")
    assert found.precision in ("float32", "bfloat16") and found is module.measured("cpu")
    assert 1 <= found.mlp_threads <= found.threads == module.processors()


def test_a_device_that_is_not_there_is_not_measured() -> None:
    assert module.measured("abacus") == Hardware("float32", module.processors(), 1)
    with pytest.raises(BadInput, match="Setting device"):
        resolve("mnist", SUPERVISED, ["device=abacus"])


def test_auto_becomes_the_choice_and_what_is_named_stays() -> None:
    mnist = resolve("mnist", SUPERVISED, hardware=OTHER)
    assert (mnist.learner.training.precision, mnist.threads) == ("bfloat16", 3)
    cifar10 = resolve("cifar10", SUPERVISED, hardware=OTHER)
    assert (cifar10.learner.training.precision, cifar10.threads) == ("bfloat16", 5)
    given = ['learner.training.precision="float32"', "threads=2"]
    named = resolve("mnist", SUPERVISED, given, OTHER)
    assert (named.learner.training.precision, named.threads) == ("float32", 2)
    again = resolve(
        "digits", SUPERVISED, ["learner.training.precision=auto", "threads=auto"], OTHER, threads=1
    )
    assert (again.learner.training.precision, again.threads) == ("bfloat16", 3)
    with pytest.raises(BadInput, match=r"learner\.training\.precision"):
        resolve("mnist", SUPERVISED, ["learner.training.precision=automatic"])


def test_nothing_is_measured_where_nothing_is_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(device: str) -> Hardware:
        raise AssertionError("measured")

    monkeypatch.setattr(spec_module, "measured", refuse)
    resolve("mnist", SUPERVISED, ['learner.training.precision="float32"'], threads=1)
    with pytest.raises(AssertionError, match="measured"):
        resolve("mnist", SUPERVISED, threads=1)


def test_a_run_that_is_continued_keeps_its_choice(tmp_path: Path) -> None:
    first = resolve("mnist", SUPERVISED, hardware=OTHER)
    (tmp_path / SETTINGS_FILE).write_text(first.model_dump_json())
    assert recorded_hardware(tmp_path) == Hardware("bfloat16", 3, 3)
    spec, folder = spec_and_folder(lambda name: tmp_path, "mnist", SUPERVISED)
    assert (spec, folder) == (first, tmp_path)
    named, _ = spec_and_folder(lambda name: tmp_path, "mnist", SUPERVISED, threads=2)
    assert named.threads == 2, "what is named is not replaced; the run refuses it"
    new, _ = spec_and_folder(lambda name: tmp_path / "new", "mnist", SUPERVISED)
    assert new == resolve("mnist", SUPERVISED)


def test_the_units_of_a_grid_share_one_choice_and_keep_it(tmp_path: Path) -> None:
    grid = GridSpec(name="g", data="mnist", methods=("random", "graph-ssl+random"), seeds=(0, 1))
    for precision in ("float32", "bfloat16"):
        folder = tmp_path / precision
        begun = units(grid.model_copy(update={"precision": precision}))
        assert {unit.spec.learner.training.precision for unit in begun} == {precision}
        # Only one unit has begun; the others follow it, whatever is faster now.
        (folder / begun[2].name).mkdir(parents=True)
        (folder / begun[2].name / SETTINGS_FILE).write_text(begun[2].spec.model_dump_json())
        assert with_precision(grid, folder).precision == precision
    assert with_precision(grid, tmp_path / "new").precision == module.measured("cpu").precision
    named = grid.model_copy(update={"precision": "float32"})
    assert with_precision(named, tmp_path / "bfloat16") == named


def test_units_whose_precision_is_fixed_do_not_decide_for_the_others(tmp_path: Path) -> None:
    """On features only graph-ssl measures; the first unit has float32 whatever is faster."""
    settings = ('representation.backbone="gradients"',)
    grid = GridSpec(
        name="g", data="mnist", methods=("linear+random", "graph-ssl+random"), seeds=(0,), settings=settings
    )
    begun = units(grid.model_copy(update={"precision": "bfloat16"}))
    assert [unit.spec.learner.training.precision for unit in begun] == ["float32", "bfloat16"]
    for unit in begun:
        (tmp_path / unit.name).mkdir()
        (tmp_path / unit.name / SETTINGS_FILE).write_text(unit.spec.model_dump_json())
    assert with_precision(grid, tmp_path).precision == "bfloat16"
