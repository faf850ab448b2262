"""Everything in a training step is on the learner's device: on ``meta``, a tensor of the processor is an error."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from aral.learners import Engine, Task, ema, engine
from aral.learners.optimisers import NetOptimisers
from aral.randomness import Stream
from aral.testing import planted_data, tiny_settings
from aral.types import LabelledSet


@pytest.fixture
def on_meta(monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs numbers, which tensors on ``meta`` do not have, is left out: waits, Adam, averages, autocast."""

    def not_moved(self: NetOptimisers, loss: Tensor, gradients: Mapping[Any, Tensor], *others: Any) -> bool:
        assert gradients and all(gradient.is_meta for gradient in gradients.values())
        return True

    monkeypatch.setattr(NetOptimisers, "move", not_moved)
    monkeypatch.setattr(Engine, "_autocast", lambda self: nullcontext())
    monkeypatch.setattr(ema.Ema, "update", lambda self, age: None)
    monkeypatch.setattr(engine, "_numbers", lambda values: dict.fromkeys(values, 0.0))


CASES: Mapping[str, dict[str, Any]] = {
    "aral": {},
    "aral, released": {"objective": "released"},
    "aral, pseudo-labels": {"pseudo_labels": True, "prior": "labels"},
    "aral, no encoder": {"encoder": False, "sampler": False},
    "vaal": {},
    "vaal, authors": {"scaling": "authors"},
    "supervised": {},
    "pseudo-label": {},
    "fixmatch": {},
    "bgadl": {},
    "no-co-training": {},
    "graph-ssl": {},
}


@pytest.mark.parametrize("case", CASES)
def test_a_training_step_mixes_no_devices(case: str, on_meta: None) -> None:
    data = planted_data()
    settings = tiny_settings(case.partition(",")[0], **CASES[case])
    learner = settings.build(Task(data.pool.shape, 3, Stream.root(1), torch.device("meta")))
    ids = np.arange(6)
    labelled = LabelledSet(data.pool.subset(ids), ids % 3, 3)
    learner.set_pool(data.pool, Stream.root(3))
    if learner.pretraining_steps:
        learner.start_pretraining(Stream.root(4))
        assert learner.step(0).values
        learner = settings.build(Task(data.pool.shape, 3, Stream.root(1), torch.device("meta")))
        learner.set_pool(data.pool, Stream.root(3))
    learner.start_round(1, labelled, data.pool.without(ids), Stream.root(2))
    assert learner.step(0).values
