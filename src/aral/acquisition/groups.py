"""Typical images of groups that were found without labels: the first query of a learner that has groups.

Each query goes to the group with the fewest so far, larger groups first, so as many queries as groups show
every group once. A group that is asked k times is cut into k parts by k-means, and each part gives the image
nearest to its centre. Only the surer half of a group is looked at: the rest may belong to another group.

Groups N×G (probabilities), features N×F; a score is how sure the group of the image is, in [0, 1]; it does not
descend along the batch, which visits the groups in turn. TypiClust (Hacohen et al. 2022) does the same with
clusters of features.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64

from aral.acquisition.clusters import k_means
from aral.acquisition.distances import Features, features_of, squared_distances
from aral.acquisition.interface import Need, PoolView
from aral.acquisition.joint import Choice, JointBatch, first_of_best
from aral.randomness import Stream


def typical_of_groups(pool: PoolView, n: int, stream: Stream) -> Choice:
    """n rows, the first ones of the largest groups."""
    probabilities = pool.unlabelled.get(Need.CLUSTERS).double().numpy()
    groups, sureness = probabilities.argmax(axis=1), probabilities.max(axis=1)
    features = directions(features_of(pool.unlabelled))
    ties = stream.child("ties").uniform(pool.unlabelled.ids)
    sizes = np.bincount(groups, minlength=probabilities.shape[1]).astype(np.int64)
    quotas = shares(sizes, n)
    chosen = {
        group: _typical(features, sureness, ties, np.flatnonzero(groups == group), quota, stream.child(group))
        for group, quota in enumerate(quotas.tolist())
        if quota
    }
    turns = [(turn, -sizes[group], group) for group, rows in chosen.items() for turn in range(len(rows))]
    rows = np.array([chosen[group][turn] for turn, _, group in sorted(turns)], dtype=np.int64)
    reasons = tuple(_reason(int(sizes[groups[row]])) for row in rows)
    return Choice(rows, sureness[rows], reasons)


def shares(sizes: Int64[np.ndarray, " G"], n: int) -> Int64[np.ndarray, " G"]:
    """How often each group is asked: to the one with the fewest queries, the larger first, while it has images."""
    quotas = np.zeros_like(sizes)
    for _ in range(n):
        quotas[min(range(sizes.size), key=lambda g: (quotas[g] >= sizes[g], quotas[g], -sizes[g], g))] += 1
    return quotas


def directions(features: Features) -> Features:
    """Features of length one: what matters is which of them are large beside the others."""
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def _typical(
    features: Features,
    sureness: Float[np.ndarray, " N"],
    ties: Float[np.ndarray, " N"],
    members: Int64[np.ndarray, " m"],
    count: int,
    stream: Stream,
) -> Int64[np.ndarray, " n"]:
    """``count`` rows of one group, the part with most images first."""
    order = np.lexsort((ties[members], -sureness[members]))
    kept = members[np.sort(order[: max(count, members.size // 2)])]
    parts = k_means(features[kept], count, stream)
    sizes = np.bincount(parts, minlength=count)
    rows: list[int] = []
    for part in np.argsort(-sizes, kind="stable"):
        inside = kept[parts == part]
        if inside.size:
            centre = features[inside].mean(axis=0, keepdims=True)
            nearness = -squared_distances(features[inside], centre)
            rows.append(int(inside[first_of_best(nearness, ties[inside])]))
    # Exact copies make fewer parts than were asked for; any other member of the group fills up.
    others = [int(row) for row in members[order] if row not in rows]
    return np.array(rows + others[: count - len(rows)], dtype=np.int64)


TYPICAL_OF_GROUPS = JointBatch("typical-groups", frozenset({Need.CLUSTERS, Need.FEATURES}), typical_of_groups)


def _reason(size: int) -> str:
    return f"typical of a group of {size} images that look alike" if size > 1 else "unlike any other image"
