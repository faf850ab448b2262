"""Image models of Hugging Face's transformers as backbones: ``hf:NAME``, from the hub's local cache or a folder.

DINOv2 and DINOv3, SigLIP and SigLIP 2, CLIP, ViT, ConvNeXt and others of one image in, one vector out. Of SigLIP and
CLIP the image tower gives the features, and the text tower embeds text into the same space. Only safetensors are read,
and no code of a repository is run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from aral.errors import BadInput
from aral.representations.backbone import Backbone, Framing, feature_size
from aral.representations.settings import Fit
from aral.representations.text import CLIP_PROMPTS, SIGLIP_PROMPTS, TextTower
from aral.representations.weights import check_finite, file_digest, from_hub, package

PREFIX = "hf:"
_CONFIG, _PREPROCESSOR = "config.json", "preprocessor_config.json"
_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
"""Each tokenizer has one of these files at least."""

_TOKENIZER = (
    *_VOCABULARIES,
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
_FILES = (
    *(_CONFIG, _PREPROCESSOR, "*.safetensors", "*.safetensors.index.json", "README.md"),
    *_TOKENIZER,
)
_RESAMPLING = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
_WITHOUT_POOLER = ("vit", "deit", "beit", "vit_mae")
"""Types whose pooling layer is often untrained: the first token is used."""


def hf_backbone(model: str, download: bool) -> Backbone:
    """An image model of transformers.

    Args:
        model: a repository, such as ``"facebook/dinov2-small"``, or a folder with the same files.
        download: whether a missing repository may be fetched.

    Raises:
        BadInput: transformers is not installed, or files are missing, damaged or of another kind of model.
        RunFailed: the download failed.
    """
    name = PREFIX + model
    transformers = package("transformers", name)
    local = Path(model).expanduser()
    folder = local if local.is_dir() else from_hub(name, model, _FILES, download)
    weights = sorted(folder.glob("*.safetensors"))
    missing = [file for file in (_CONFIG, _PREPROCESSOR) if not (folder / file).is_file()]
    missing += [] if weights else ["model.safetensors"]
    if missing:
        raise BadInput(
            f"'{name}' in {folder} lacks {', '.join(missing)}.", "Choose another model, or complete it."
        )
    transformers.utils.logging.disable_progress_bar()
    try:
        network = transformers.AutoModel.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True
        )
    except Exception as error:  # of safetensors, of PyTorch, or of transformers
        raise BadInput(f"'{name}' in {folder} cannot be loaded: {error}", "Update transformers.") from error
    check_finite(network.state_dict(), str(folder), "Remove the folder, then add --download.")
    framing = _framing(name, folder / _PREPROCESSOR)
    trunk = ImageTower(network.float())
    return Backbone(
        name,
        _licence(folder, model),
        str(local) if local.is_dir() else f"https://huggingface.co/{model}",
        _digest(weights),
        feature_size(name, trunk, framing.side),
        framing,
        trunk,
        text=_text_tower(name, folder, network),
    )


class ImageTower(nn.Module):
    """One vector an image out of any image model of transformers.

    Args:
        network: with an image tower beside a text tower (its projected features are taken), or an image model.
    """

    network: Any

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Float[Tensor, "N 3 S S"]) -> Float[Tensor, "N F"]:
        """Features of normalised images."""
        if hasattr(self.network, "get_image_features"):
            found = self.network.get_image_features(pixel_values=images)
            return found if isinstance(found, Tensor) else found.pooler_output
        found = self.network(pixel_values=images)
        pooled = getattr(found, "pooler_output", None)
        if pooled is None or self.network.config.model_type in _WITHOUT_POOLER:
            hidden = found.last_hidden_state
            pooled = hidden[:, 0] if hidden.ndim == 3 else hidden.mean((2, 3))
        return pooled.flatten(1)


class TextEmbedding:
    """Text to features by the text tower of a model of transformers; the tokenizer is loaded when it is first used.

    Args:
        name: of the backbone, for errors.
        network: with a text tower; its projected features are taken.
        folder: has the files of the tokenizer.
        is_siglip: as these models were trained, text is in lower case and always padded to the same length.
    """

    def __init__(self, name: str, network: Any, folder: Path, is_siglip: bool) -> None:
        self._name = name
        self._network = network
        self._folder = folder
        self._is_siglip = is_siglip

    @cached_property
    def _tokenizer(self) -> Any:
        transformers = package("transformers", self._name)
        try:
            return transformers.AutoTokenizer.from_pretrained(str(self._folder), local_files_only=True)
        except Exception as error:  # of transformers, of a missing package, or of a damaged file
            raise BadInput(
                f"The tokenizer of '{self._name}' in {self._folder} cannot be loaded: {error}",
                "pip install sentencepiece protobuf, or complete the folder with --download.",
            ) from error

    def __call__(self, texts: Sequence[str]) -> Float[Tensor, "n F"]:
        """Features of texts."""
        given = [text.lower() for text in texts] if self._is_siglip else list(texts)
        tokens = self._tokenizer(
            given,
            padding="max_length" if self._is_siglip else True,
            truncation=True,
            max_length=self._network.config.text_config.max_position_embeddings,
            return_tensors="pt",
        )
        # SigLIP was trained with its padding seen, so it gets no mask.
        names = ("input_ids",) if self._is_siglip else ("input_ids", "attention_mask")
        found = self._network.get_text_features(**{each: tokens[each] for each in names if each in tokens})
        return found if isinstance(found, Tensor) else found.pooler_output


def _text_tower(name: str, folder: Path, network: Any) -> TextTower | None:
    """The text tower beside an image tower; None without one, or without the files of its tokenizer."""
    has_tower = hasattr(network, "get_text_features") and hasattr(network, "logit_scale")
    if not has_tower or not any((folder / file).is_file() for file in _VOCABULARIES):
        return None
    is_siglip = network.config.model_type.startswith("siglip")
    return TextTower(
        TextEmbedding(name, network, folder, is_siglip),
        float(network.logit_scale.detach().exp()),
        SIGLIP_PROMPTS if is_siglip else CLIP_PROMPTS,
    )


def _framing(name: str, file: Path) -> Framing:
    """What the preprocessor's file says, with the whole image seen where it would cut out the centre."""
    try:
        about: dict[str, Any] = json.loads(file.read_text())
        resized = _side(about["size"])
        cut = _side(about["crop_size"]) if about.get("do_center_crop") else None
        mean, std = about["image_mean"], about["image_std"]
        scale = about.get("rescale_factor", 1 / 255)
        return Framing(
            side=cut or resized,
            fit=Fit.SQUASH if cut is None and "height" in _as_mapping(about["size"]) else Fit.PAD,
            crop_share=1.0 if cut is None else min(1.0, cut / resized),
            fill=round(sum(mean) / 3 / scale),
            resampling=_RESAMPLING.get(about.get("resample", 3), "bicubic"),
            mean=tuple(value / scale for value in mean),
            std=tuple(value / scale for value in std),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{file} does not say how '{name}' wants its images: {error!r}.",
            "Choose another model; image_mean, image_std and size are needed.",
        ) from error


def _as_mapping(size: Any) -> Mapping[str, int]:
    return size if isinstance(size, Mapping) else {"shortest_edge": int(size)}


def _side(size: Any) -> int:
    """The side of the square that a size describes."""
    named = _as_mapping(size)
    return int(named.get("height") or named["shortest_edge"])


def _digest(files: Sequence[Path]) -> str:
    """SHA-256 of the file of weights, or of the digests of several."""
    digests = [file_digest(file) for file in files]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _licence(folder: Path, model: str) -> str:
    """What the model card says in its head."""
    card = folder / "README.md"
    text = card.read_text(errors="replace") if card.is_file() else ""
    head = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    found = dict(re.findall(r"^(license|license_name): *(\S+)", head.group(1), re.MULTILINE)) if head else {}
    return found.get("license_name") or found.get("license") or f"see https://huggingface.co/{model}"
