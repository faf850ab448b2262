"""Where a run is computed: chosen once, recorded, and kept when it is resumed."""

from __future__ import annotations

from pathlib import Path

import pytest

from aral.benchmarking import Method, device, resolve, run, runs
from aral.benchmarking.device import choose_device
from aral.errors import BadInput
from aral.loop import Store
from aral.loop.reading import store_reading
from aral.testing import planted_data


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(device, "is_available", lambda name: True)
    return monkeypatch


def test_without_a_gpu() -> None:
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(BadInput, match="no GPU that PyTorch can use"):
        choose_device("cuda")
    with pytest.raises(BadInput, match="started on a GPU, and there is none now"):
        choose_device("auto", recorded="cuda")


def test_with_a_gpu(gpu: pytest.MonkeyPatch) -> None:
    assert (choose_device("auto"), choose_device("cpu"), choose_device("cuda")) == ("cuda", "cpu", "cuda")
    assert choose_device("auto", recorded="cpu") == "cpu", "another device would give other numbers"


def test_a_run_keeps_the_device_that_it_was_started_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices: list[str] = []
    make = runs.make_learner

    def noted(*arguments: object) -> object:
        devices.append(str(arguments[-1]))
        return make(*arguments[:-1], "cpu")  # type: ignore[arg-type]

    monkeypatch.setattr(runs, "make_learner", noted)
    settings = ["rounds.query_size=5", "rounds.budget=5", "model.training.steps=2"]
    settings.append("model.networks.discriminator_sizes=[8, 8]")
    spec = resolve("digits", Method.parse("supervised+random"), settings, threads=1)
    folder = tmp_path / "run"
    run(spec, planted_data(), folder)
    with store_reading(folder) as store:
        assert store.setting("device") == "cpu"
    with monkeypatch.context() as patched:
        patched.setattr(device, "is_available", lambda name: True)
        run(spec, planted_data(), folder)
        assert devices[-1] == "cpu", "it goes on where it was"
        run(spec, planted_data(), tmp_path / "new")
    assert devices[-1] == "cuda"
    with pytest.raises(BadInput, match="started on a GPU"):
        run(spec, planted_data(), tmp_path / "new")
    with Store.open(tmp_path / "new", create=False) as store:
        assert store.setting("device") == "cuda"
