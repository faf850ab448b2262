"""The plan for large pools is arithmetic: figures worked out by hand from simple coefficients."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with assumptions that are easy to multiply."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    script = importlib.import_module("scaling_plan")
    values = dict(zip(script.ASSUMED, (1e5, 1e14, 10.0, 2.0, 0.05, 20.0, 1e9), strict=True))
    monkeypatch.setattr(script, "ASSUMED", {name: (value, "") for name, value in values.items()})
    return script


def coefficients(plan: ModuleType):
    return plan.Coefficients(
        decoded=100.0,
        embedded=100.0,
        cache_bytes=4000.0,
        cached=1000.0,
        project_bytes=2000.0,
        imported=1000.0,
        million_scored=2.0,
        million_covered=100.0,
        step_operations=1e12,
    )


def test_imagenet_on_eight_gpus(plan: ModuleType) -> None:
    lines = {line.what: line.value for line in plan.imagenet(coefficients(plan), images=1_000_000)}
    assert lines["files"] == "100 GB" and lines["project"] == "2 GB"
    assert lines["features of the embedded backbone"] == "4 GB"
    # 100 and 100 a second one after the other: 50; on 80 cores 4,000.
    assert lines["features, on 80 cores without a GPU"] == "4 min"
    # 8 rounds of 50,000 steps of 64 images of 1e12 operations, on eight GPUs of 1e14.
    assert lines["training, 8 rounds of 50,000 steps"] == "9 h"
    # 51.2 million images are read, 8,000 a second: less than the training takes.
    assert lines["decoding for it, on 80 cores"] == "107 min"
    assert lines["a query by coverage, one core"] == "1e+02 s"
    assert lines["cost of the GPUs"] == "142 USD"  # 8.9 hours of eight at 2


def test_a_billion_in_shards(plan: ModuleType) -> None:
    lines = {line.what: line.value for line in plan.billion(coefficients(plan))}
    assert lines["files"] == "100 TB" and lines["features"] == "4 TB"
    assert lines["features, on 2,000 cores"] == "3 h"  # 1e9 / (2000 · 50) s
    assert lines["their cost"] == "278 USD"
    assert lines["reading the files, 31 nodes"] == "53 min"  # 1e14 bytes, 31.25e9 a second
    assert lines["storage a month"] == "2,080 USD"
    assert lines["a query, first level: 1,000 shards on 2,000 cores"] == "1e+02 s"
    assert lines["returned to the coordinator (1,000 images a shard)"] == "4.02 GB"
    assert lines["second level, one core"] == "1e+02 s"


def test_the_first_limit_comes_first(plan: ModuleType) -> None:
    found = plan.limits(coefficients(plan), memory=24e6, disk=1e9)
    assert [size for size, _ in found] == sorted(size for size, _ in found)
    sizes = {what: size for size, what in found}
    assert sizes["features take more than a day on 2 cores"] == 86400 * 2 * 50
    assert sizes["the features fill 1 GB"] == 1e9 / 4000
    assert sizes["three numbers of each image fill 0 GiB of memory"] == 1e6
    assert sizes["a query by coverage takes more than an hour of one core"] == 36e6


def test_figures_on_assumptions_are_marked(plan: ModuleType) -> None:
    text = plan.table(plan.billion(coefficients(plan)))
    assert "| files | ≈ 100 TB |" in text and "| features | 4 TB |" in text
