"""The embedding of a run's pool, as it was kept in its folder, for its report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from safetensors import SafetensorError, safe_open

from aral.loop.embedding import EMBEDDING_FILE, NOT_QUERIED, PCA, TSNE, UMAP
from aral.plural import counted
from aral.reports.curves import LIGHT, Theme

TITLES = {PCA: "principal components", TSNE: "t-SNE", UMAP: "UMAP"}
"""Kinds in the order in which they are drawn."""

_COLOURS = "viridis"


@dataclass(frozen=True, eq=False)
class Embedding:
    """A sample of the pool in two dimensions.

    Attributes:
        rounds: of the query that asked for each image; −1 for images that were not queried.
        coordinates: of each kind, by its name.
        pool: number of images in the pool.
        queried: number of images that were queried in all.
    """

    rounds: Int64[np.ndarray, " N"]
    coordinates: dict[str, Float32[np.ndarray, "N 2"]]
    pool: int
    queried: int

    def in_words(self) -> str:
        """What is shown, as sentences."""
        shown = int((self.rounds != NOT_QUERIED).sum())
        others, rest = self.rounds.size - shown, self.pool - self.queried
        some = f"{shown} of the {counted(self.queried, 'queried image')}"
        other = f"{others} of the {counted(rest, 'other')}"
        whole = "All images of the pool" if self.rounds.size == self.pool else f"A sample: {some} and {other}"
        return (
            f"{whole}. The pool is grey, queried images have the colour of their round. Features of the learner after "
            "the last round."
        )


def read_embedding(folder: Path) -> Embedding | str | None:
    """The embedding in a run folder; None without one, and what is wrong with the file as a sentence."""
    path = folder / EMBEDDING_FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        rounds, pool, queried = tensors["rounds"], int(about["pool"]), int(about["queried"])
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        return f"{path.name} cannot be read: {error}"
    coordinates = {name: tensors[name] for name in TITLES if name in tensors}
    whole = rounds.ndim == 1 and rounds.dtype == np.int64 and bool(coordinates)
    if not whole or any(
        each.shape != (rounds.size, 2) or each.dtype != np.float32 for each in coordinates.values()
    ):
        return f"{path.name}: rounds and coordinates do not belong together"
    return Embedding(rounds, coordinates, pool, queried)


def embedding_chart(embedding: Embedding, theme: Theme = LIGHT) -> Figure:
    """A panel for each kind: the pool in grey, queried images in the colour of their round; points as one picture."""
    kinds = [kind for kind in TITLES if kind in embedding.coordinates]
    figure = Figure(figsize=(3.6 * len(kinds) + 1.0, 3.9), layout="constrained", facecolor=theme.paper)
    queried = embedding.rounds != NOT_QUERIED
    last = int(embedding.rounds.max(initial=0))
    norm = BoundaryNorm(np.arange(-0.5, last + 1.5), 256)
    panels = []
    for place, kind in enumerate(kinds):
        axes = figure.add_subplot(1, len(kinds), place + 1)
        axes.set_facecolor(theme.paper)
        x, y = embedding.coordinates[kind].T
        axes.scatter(x[~queried], y[~queried], 7, color=theme.ink, alpha=0.25, linewidths=0, rasterized=True)
        colours = embedding.rounds[queried]
        axes.scatter(
            x[queried], y[queried], 26, colours, cmap=_COLOURS, norm=norm, linewidths=0.6, edgecolors=theme.paper,
            rasterized=True,
        )  # fmt: skip
        axes.set_title(TITLES[kind], color=theme.ink, fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_color(theme.grid)
        panels.append(axes)
    bar = figure.colorbar(ScalarMappable(norm, _COLOURS), ax=panels, pad=0.02)
    bar.set_label("round of the query", color=theme.ink)
    bar.ax.tick_params(colors=theme.ink, length=0)
    bar.ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    bar.ax.minorticks_off()
    return figure
