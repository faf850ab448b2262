"""Pools made harder on purpose: classes of unequal size, and wrong labels. The test set is never changed.

Everything is decided by the seed of the settings, not by that of a run: all methods and seeds of a comparison have the
same pool.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float64, Int64
from pydantic import Field, model_validator

from aral.data.dataset import DataSet, files_at
from aral.errors import BadInput, unknown_name
from aral.plural import counted
from aral.randomness import Stream
from aral.settings import Settings
from aral.types import ImageSet


class PoolSettings(Settings):
    """What is done to the pool before anything is queried."""

    imbalance: float | None = Field(
        None, gt=0, le=1
    )  # images of the last class / of the first, exponential between
    class_shares: dict[str, float] = Field(
        default_factory=dict
    )  # of the pool, by class; the others share the rest
    label_noise: float = Field(0.0, ge=0, lt=1)  # share of the labels that are wrong
    noise: Literal["symmetric", "pair"] = "symmetric"  # wrong class: any other, or one for each class
    confusions: dict[str, str] = Field(
        default_factory=dict
    )  # for pair: class → class; others stay. Empty: the next
    seed: int = 0  # decides which images go and which labels are wrong

    @model_validator(mode="after")
    def _check(self) -> PoolSettings:
        if self.imbalance is not None and self.class_shares:
            raise ValueError("imbalance and class_shares contradict each other")
        if any(not 0 < share < 1 for share in self.class_shares.values()):
            raise ValueError("class_shares must lie between 0 and 1")
        if sum(self.class_shares.values()) > 1 + 1e-9:
            raise ValueError("class_shares sum to more than 1")
        if self.confusions and self.noise != "pair":
            raise ValueError("confusions belong to noise = 'pair'")
        if self.confusions and not self.label_noise:
            raise ValueError("confusions need a label_noise above 0")
        if any(true == wrong for true, wrong in self.confusions.items()):
            raise ValueError("confusions must name two different classes")
        return self


def changed_pool(data: DataSet, settings: PoolSettings) -> DataSet:
    """The data set with the pool that the settings ask for; the same object where they ask for nothing.

    Images are removed by a random number of their id: a stronger imbalance keeps a subset of what a weaker one keeps
    of a class. Then the labels of exactly ``label_noise`` of the images that can be wrong (rounded) are replaced. The
    note says what was done.

    Args:
        data: the data set; its test set stays as it is.
        settings: what to change.

    Raises:
        BadInput: a class does not exist, or has too few images.
    """
    stream = Stream.root(settings.seed).child("pool changes")
    if settings.imbalance is not None:
        data = _with_counts(
            data, _exponential(data, settings.imbalance), stream.child("removed"), "imbalance"
        )
    if settings.class_shares:
        data = _with_counts(data, _by_shares(data, settings), stream.child("removed"), "class shares")
    return _with_noise(data, settings, stream.child("noise")) if settings.label_noise else data


def _exponential(data: DataSet, ratio: float) -> Int64[np.ndarray, " K"]:
    """Images of each class: the first class has the most that all classes together allow, the last ``ratio`` of it."""
    counts = np.bincount(data.pool_classes, minlength=data.class_count)
    factors: Float64[np.ndarray, " K"] = ratio ** (np.arange(data.class_count) / (data.class_count - 1))
    return _rounded(float((counts / factors).min()) * factors)


def _by_shares(data: DataSet, settings: PoolSettings) -> Int64[np.ndarray, " K"]:
    """Images of each class: as many as possible with the stated shares; the others keep their proportions."""
    counts = np.bincount(data.pool_classes, minlength=data.class_count)
    shares = np.zeros(data.class_count)
    for name, share in settings.class_shares.items():
        shares[class_number(data, name, "pool.class_shares")] = share
    free, rest = shares == 0, 1 - shares.sum()
    if free.any() and rest <= 1e-9:
        raise BadInput(
            f"pool.class_shares sum to 1, but {counted(int(free.sum()), 'class has', 'classes have')} no share.",
            "Leave something for the others, or state the share of every class.",
        )
    if not free.any() and rest > 1e-9:
        raise BadInput(f"pool.class_shares of all classes sum to {shares.sum():g}.", "Let them sum to 1.")
    if free.any():
        shares[free] = rest * counts[free] / max(int(counts[free].sum()), 1)
    wanted = shares > 0
    return _rounded(float((counts[wanted] / shares[wanted]).min()) * shares)


def _rounded(counts: Float64[np.ndarray, " K"]) -> Int64[np.ndarray, " K"]:
    found: Int64[np.ndarray, " K"] = np.floor(counts + 0.5).astype(np.int64)
    return found


def _with_counts(data: DataSet, wanted: Int64[np.ndarray, " K"], stream: Stream, what: str) -> DataSet:
    """The data set with so many pool images of each class."""
    if (wanted < 1).any():
        empty = [data.class_names[number] for number in np.flatnonzero(wanted < 1)]
        raise BadInput(
            f"With this {what} the pool of '{data.name}' has no image of {', '.join(empty[:5])}.",
            "Choose a weaker one, or a larger pool.",
        )
    drawn, kept = stream.uniform(data.pool.ids), []
    for number, count in enumerate(wanted.tolist()):
        rows = np.flatnonzero(data.pool_classes == number)
        kept.append(rows[np.argsort(drawn[rows], kind="stable")[:count]])
    positions = np.sort(np.concatenate(kept)).astype(np.int64)
    note = (
        f"{what}: {len(positions)} of {counted(len(data.pool), 'pool image')}, "
        f"{int(wanted.max())} to {int(wanted.min())} of a class"
    )
    return replace(
        data,
        pool=ImageSet.of(data.pool.pixels[torch.from_numpy(data.pool.ids[positions])]),
        pool_classes=data.pool_classes[positions],
        note="; ".join(part for part in (data.note, note) if part),
        pool_files=files_at(data.pool_files, positions),
    )


def _with_noise(data: DataSet, settings: PoolSettings, stream: Stream) -> DataSet:
    """The data set with wrong pool labels."""
    classes, count = data.pool_classes, data.class_count
    if settings.noise == "symmetric":
        shift = 1 + np.floor(stream.child("class").uniform(data.pool.ids) * (count - 1)).astype(np.int64)
        wrong, can_be = (classes + shift) % count, np.ones(classes.size, dtype=np.bool_)
    else:
        target = np.arange(count, dtype=np.int64)
        for name, other in settings.confusions.items():
            number = class_number(data, name, "pool.confusions")
            target[number] = class_number(data, other, "pool.confusions")
        if not settings.confusions:
            target = (target + 1) % count
        wrong, can_be = target[classes], target[classes] != classes
    candidates = np.flatnonzero(can_be)
    changed = round(settings.label_noise * candidates.size)
    drawn = stream.child("image").uniform(data.pool.ids[candidates])
    rows = candidates[np.argsort(drawn, kind="stable")[:changed]]
    noisy = classes.copy()
    noisy[rows] = wrong[rows]
    of = "" if candidates.size == classes.size else f" of {', '.join(settings.confusions)}"
    note = f"label noise: {settings.noise}, {changed} of {counted(candidates.size, 'pool label')}{of} wrong"
    return replace(data, pool_classes=noisy, note="; ".join(part for part in (data.note, note) if part))


def class_number(data: DataSet, name: str, setting: str) -> int:
    """The number of a class by its name.

    Raises:
        BadInput: there is none; names the setting and the nearest class.
    """
    if name not in data.class_names:
        error = unknown_name("class", name, data.class_names)
        raise BadInput(f"Setting {setting}: {error.problem}", error.hint)
    return data.class_names.index(name)
