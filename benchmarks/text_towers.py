"""Whether ``hf:`` backbones embed images and text as transformers does: tiny CLIP and SigLIP of random weights.

    python benchmarks/text_towers.py

Needs ``pip install 'aral[backbones]'``. Models, tokenizers and preprocessor files are made in a temporary folder and
read as a user's are. The logits of a batch of images and texts must be those of the whole model.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import sentencepiece
import torch
import transformers

from aral.representations import (
    Backbone,
    RepresentationSettings,
    cosine_similarities,
    make_backbone,
    zero_shot_probabilities,
)

SIDE, LENGTH, VOCABULARY = 32, 16, 24
TEXTS = ("a Cat.", "a photo of a Dog on grass, with more than sixteen tokens.")
SIZES = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
TOLERANCE = 1e-4


def preprocessor(folder: Path) -> None:
    """Squash to the side, as SigLIP does."""
    about = {
        "size": {"height": SIDE, "width": SIDE},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_center_crop": False,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(about))


def clip(folder: Path) -> transformers.PreTrainedModel:
    """A tiny CLIP with a tokenizer of single letters."""
    letters = [chr(code) for code in range(33, 127)]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{each}</w>" for each in [*letters, "at"])]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\na t</w>\n")
    config = transformers.CLIPConfig(
        text_config={
            **SIZES,
            "vocab_size": len(tokens),
            "max_position_embeddings": LENGTH,
            "bos_token_id": 0,
            "eos_token_id": 1,
            "pad_token_id": 1,
        },
        vision_config={**SIZES, "image_size": SIDE, "patch_size": 8},
        projection_dim=12,
    )
    return transformers.CLIPModel(config)


def siglip(folder: Path) -> transformers.PreTrainedModel:
    """A tiny SigLIP with a SentencePiece tokenizer."""
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text.lower() for text in TEXTS] * 20),
        model_writer=made,
        vocab_size=VOCABULARY,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(made.getvalue())
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "SiglipTokenizer"}))
    config = transformers.SiglipConfig(
        text_config={**SIZES, "vocab_size": VOCABULARY, "max_position_embeddings": LENGTH, "pad_token_id": 0},
        vision_config={**SIZES, "image_size": SIDE, "patch_size": 8},
    )
    return transformers.SiglipModel(config)


def expected(folder: Path, backbone: Backbone, images: torch.Tensor) -> torch.Tensor:
    """Logits of the whole model, with the tokenizer called as its documentation says."""
    model = transformers.AutoModel.from_pretrained(str(folder)).eval()
    is_siglip = model.config.model_type == "siglip"
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
    padding = "max_length" if is_siglip else True
    tokens = tokenizer(list(TEXTS), padding=padding, max_length=LENGTH, truncation=True, return_tensors="pt")
    if is_siglip:
        tokens = {"input_ids": tokens["input_ids"]}
    framing = backbone.framing
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (framing.mean, framing.std))
    with torch.no_grad():
        logits = model(pixel_values=(images - mean) / std, **tokens).logits_per_image
        return logits - model.logit_bias if is_siglip else logits


def check(name: str) -> float:
    """The largest difference of a logit."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        torch.manual_seed(0)
        made = {"clip": clip, "siglip": siglip}[name](folder)
        with torch.no_grad():  # the initial weights are so small that every text has nearly the same features
            for weights in made.parameters():
                weights.add_(0.3 * torch.randn_like(weights))
            made.logit_scale.fill_(2.0)
        made.save_pretrained(folder)
        preprocessor(folder)
        backbone = make_backbone(RepresentationSettings(backbone=f"hf:{folder}"))
        assert backbone.text is not None
        images = torch.randint(0, 256, (5, 3, SIDE, SIDE), dtype=torch.uint8)
        features, texts = backbone.features(images), backbone.text(TEXTS)
        found = backbone.text.logit_scale * cosine_similarities(features, texts)
        classes = backbone.text.of_classes(["cat", "sea_lion"])
        shares = zero_shot_probabilities(features, classes, backbone.text.logit_scale)
        assert torch.allclose(shares.sum(1), torch.ones(5))
        return float((found - expected(folder, backbone, images)).abs().max())


def main() -> int:
    """Print the differences; 1 if one is too large."""
    found = {name: check(name) for name in ("clip", "siglip")}
    for name, difference in found.items():
        print(f"{name}: logits differ by at most {difference:.1e}")
    return int(max(found.values()) > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
