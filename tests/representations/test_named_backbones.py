"""Backbones by name. Packages of the extra are replaced by fakes of what is called, and nothing is downloaded."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file
from torch import Tensor, nn

from aral.errors import BadInput, RunFailed
from aral.representations import (
    Backbone,
    Fit,
    RepresentationSettings,
    catalogue,
    make_backbone,
    oriented_gradients,
)
from aral.representations import torchvision_backbones as of_torchvision
from aral.representations.weights import file_digest


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    catalogue._by_name.cache_clear()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def backbone(name: str, download: bool = False, **settings: Any) -> Backbone:
    return make_backbone(RepresentationSettings(backbone=name, **settings), download)


def noise(side: int, count: int = 3) -> Tensor:
    values = np.random.default_rng(1).integers(0, 256, (count, 3, side, side), dtype=np.uint8)
    return torch.from_numpy(values)


def module(monkeypatch: pytest.MonkeyPatch, name: str, **contents: Any) -> None:
    """A package of this name that has only these contents."""
    made = ModuleType(name)
    vars(made).update(contents)
    monkeypatch.setitem(sys.modules, name, made)


@pytest.mark.parametrize("name", ["nonsense", "timm:", "hub:resnet50", ""])
def test_unknown_names_are_refused_with_those_that_exist(name: str) -> None:
    with pytest.raises(BadInput, match=r"Unknown representation.*\n.*efficientnet-lite0.*timm:NAME"):
        backbone(name)


def test_gradients_need_no_weights() -> None:
    found = backbone("gradients")
    assert torch.allclose(found.features(noise(64)), oriented_gradients(noise(64) / 255), atol=1e-5)
    small = backbone("gradients", side=32, fit=Fit.PAD)
    assert small.features(noise(32)).shape == (3, small.feature_size) and small.framing.fit is Fit.PAD
    assert len({found.key, small.key}) == 2


# Packages and weights that are missing


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("timm:x", "timm", "backbones"),
        ("hf:x", "transformers", "backbones"),
        ("onnx:x", "onnxruntime", "onnx"),
    ],
)
def test_a_missing_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, name: str, package: str, extra: str
) -> None:
    def absent(wanted: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {wanted!r}")

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(BadInput, match=rf"needs the package {package}.*\npip install 'aral\[{extra}\]'"):
        backbone(name)


def hub(monkeypatch: pytest.MonkeyPatch, folder: Path | None) -> list[dict[str, Any]]:
    """A hub whose local cache is this folder; None: neither a cache nor a network."""
    calls: list[dict[str, Any]] = []

    def snapshot_download(repository: str, **options: Any) -> str:
        calls.append({"repository": repository, **options})
        if folder is None:
            raise FileNotFoundError("not there\nsecond line")
        return str(folder)

    module(monkeypatch, "huggingface_hub", snapshot_download=snapshot_download)
    return calls


CONFIG = SimpleNamespace(
    hf_hub_id="timm/tiny",
    license="apache-2.0",
    input_size=(3, 16, 16),
    interpolation="bilinear",
    crop_pct=0.8,
    mean=(0.5, 0.25, 0.0),
    std=(0.5, 0.5, 0.5),
)


class Mean(nn.Module):
    """Mean colours times a weight."""

    def __init__(self, weight: float = 2.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight))

    def forward(self, images: Tensor) -> Tensor:
        return self.weight * images.mean((2, 3))


def fake_timm(monkeypatch: pytest.MonkeyPatch, network: nn.Module) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []

    def create_model(model: str, **options: Any) -> nn.Module:
        made.append({"model": model, **options})
        return network

    module(
        monkeypatch,
        "timm",
        get_pretrained_cfg=lambda model: CONFIG if model == "tiny" else None,
        create_model=create_model,
    )
    return made


@pytest.mark.parametrize("download", [False, True])
def test_weights_are_downloaded_only_when_that_is_allowed(
    monkeypatch: pytest.MonkeyPatch, download: bool
) -> None:
    fake_timm(monkeypatch, Mean())
    calls = hub(monkeypatch, None)
    if download:
        with pytest.raises(RunFailed, match="'timm:tiny' could not be downloaded: not there"):
            backbone("timm:tiny", download)
    else:
        with pytest.raises(
            BadInput, match=r"'timm:tiny' are not on this machine.*\nAdd --download, or copy models--"
        ):
            backbone("timm:tiny", download)
    assert [(call["repository"], call["local_files_only"]) for call in calls] == [("timm/tiny", not download)]


# timm


def test_a_model_of_timm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = fake_timm(monkeypatch, Mean())
    hub(monkeypatch, tmp_path)
    save_file({"weight": torch.ones(1)}, tmp_path / "model.safetensors")
    found = backbone("timm:tiny")
    assert made[0]["num_classes"] == 0
    assert made[0]["pretrained_cfg_overlay"] == {"file": str(tmp_path / "model.safetensors")}
    assert (found.licence, found.feature_size, found.framing.side) == ("apache-2.0", 3, 16)
    assert found.digest == file_digest(tmp_path / "model.safetensors")
    white = found.features(torch.full((1, 3, 16, 16), 255, dtype=torch.uint8))
    assert white[0].tolist() == pytest.approx([2, 3, 4], abs=1e-5)
    with pytest.raises(BadInput, match="timm has no model 'other'"):
        backbone("timm:other")


def test_weights_that_are_not_finite_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_timm(monkeypatch, Mean(float("nan")))
    hub(monkeypatch, tmp_path)
    save_file({"weight": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(BadInput, match="NaN or infinite in 'weight'"):
        backbone("timm:tiny")


# transformers

PREPROCESSOR = {
    "size": {"shortest_edge": 20},
    "crop_size": {"height": 16, "width": 16},
    "do_center_crop": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.25, 0.25, 0.25],
    "resample": 2,
}


class ImageModel(nn.Module):
    """Tokens of two numbers; the pooled ones are others."""

    def __init__(self, model_type: str) -> None:
        super().__init__()
        self.config = SimpleNamespace(model_type=model_type)

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        mean = pixel_values.mean((1, 2, 3))
        hidden = mean[:, None, None].expand(-1, 5, 2)
        return SimpleNamespace(last_hidden_state=hidden, pooler_output=hidden[:, 0] + 1)


class TwoTowers(nn.Module):
    def get_image_features(self, pixel_values: Tensor) -> Tensor:
        return pixel_values.mean((2, 3))


def hf_folder(folder: Path, preprocessor: dict[str, Any], card: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    save_file({"weight": torch.ones(1)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    (folder / "README.md").write_text(card)
    return folder


def fake_transformers(
    monkeypatch: pytest.MonkeyPatch, network: nn.Module, tokenizer: Any = None
) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = []

    def from_pretrained(folder: str, **options: Any) -> nn.Module:
        loaded.append({"folder": folder, **options})
        return network

    def tokenizer_from(folder: str, **options: Any) -> Any:
        loaded.append({"folder": folder, **options})
        if isinstance(tokenizer, Exception):
            raise tokenizer
        return tokenizer

    module(
        monkeypatch,
        "transformers",
        AutoModel=SimpleNamespace(from_pretrained=from_pretrained),
        AutoTokenizer=SimpleNamespace(from_pretrained=tokenizer_from),
        utils=SimpleNamespace(logging=SimpleNamespace(disable_progress_bar=lambda: None)),
    )
    return loaded


def test_an_image_model_of_transformers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    loaded = fake_transformers(monkeypatch, ImageModel("dinov2"))
    folder = hf_folder(tmp_path / "cache", PREPROCESSOR, "---\nlicense: other\nlicense_name: dino\n---\n")
    hub(monkeypatch, folder)
    found = backbone("hf:meta/dino")
    assert loaded == [{"folder": str(folder), "local_files_only": True, "use_safetensors": True}]
    assert (found.licence, found.source) == ("dino", "https://huggingface.co/meta/dino")
    framing = found.framing
    assert (framing.side, framing.fit, framing.crop_share, framing.resampling) == (
        16,
        Fit.PAD,
        0.8,
        "bilinear",
    )
    assert framing.mean == pytest.approx((127.5,) * 3) and framing.std == pytest.approx((63.75,) * 3)
    white = torch.full((1, 3, 16, 16), 255, dtype=torch.uint8)
    assert found.features(white)[0].tolist() == pytest.approx([3, 3])


@pytest.mark.parametrize(("network", "expected"), [(ImageModel("vit"), [2, 2]), (TwoTowers(), [2, 2, 2])])
def test_first_token_or_image_tower_from_a_local_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, network: nn.Module, expected: list[float]
) -> None:
    fake_transformers(monkeypatch, network)
    calls = hub(monkeypatch, None)
    whole = {**PREPROCESSOR, "size": {"height": 16, "width": 16}, "do_center_crop": False}
    found = backbone(f"hf:{hf_folder(tmp_path / 'own', whole)}")
    assert calls == [] and found.framing.fit is Fit.SQUASH and found.licence.startswith("see https://")
    assert found.features(torch.full((1, 3, 16, 16), 255, dtype=torch.uint8))[0].tolist() == pytest.approx(
        expected
    )


class TextAndImage(TwoTowers):
    """Text features are the token, one, and the number of seen tokens."""

    def __init__(self, model_type: str) -> None:
        super().__init__()
        self.config = SimpleNamespace(
            model_type=model_type, text_config=SimpleNamespace(max_position_embeddings=6)
        )
        self.logit_scale = nn.Parameter(torch.tensor([100.0]).log())

    def get_text_features(
        self, input_ids: Tensor, attention_mask: Tensor | None = None
    ) -> SimpleNamespace | Tensor:
        seen = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        found = torch.stack([input_ids[:, 0], torch.ones(len(input_ids)), seen.sum(1)], 1)
        # Newer versions return an object.
        return SimpleNamespace(pooler_output=found) if self.config.model_type == "siglip" else found


def letters(texts: list[str], padding: bool | str, **options: Any) -> dict[str, Tensor]:
    """A tokenizer: the code of each letter."""
    assert options == {"truncation": True, "max_length": 6, "return_tensors": "pt"}
    size = 6 if padding == "max_length" else max(min(6, len(text)) for text in texts)
    ids = torch.tensor([[ord(each) for each in text[:size].ljust(size)] for text in texts]).float()
    return {"input_ids": ids, "attention_mask": (ids != ord(" ")).float()}


@pytest.mark.parametrize(
    ("kind", "expected"),
    # CLIP sees the text; SigLIP sees it in lower case and with its padding.
    [
        ("clip", [[ord("C"), 1, 3], [ord("a"), 1, 5]]),
        ("siglip", [[ord("c"), 1, 6], [ord("a"), 1, 6]]),
    ],
)
def test_text_and_images_in_one_space(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, expected: list[list[int]]
) -> None:
    loaded = fake_transformers(monkeypatch, TextAndImage(kind), letters)
    folder = hf_folder(tmp_path / "own", PREPROCESSOR)
    (folder / "tokenizer.json").write_text("{}")
    found = backbone(f"hf:{folder}")
    assert found.text is not None and found.text.logit_scale == pytest.approx(100)
    assert len(loaded) == 1, "the tokenizer is not loaded for images"
    assert found.text(["Cat", "apple"]).tolist() == expected
    assert loaded[1:] == [{"folder": str(folder), "local_files_only": True}]
    assert found.text.prompts[0] == {"clip": "a photo of a {}.", "siglip": "This is a photo of {}."}[kind]
    framed = backbone(f"hf:{folder}", fit=Fit.CROP)
    assert framed.text is found.text


def test_without_the_files_of_a_tokenizer_it_is_a_backbone_of_images(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_transformers(monkeypatch, TextAndImage("clip"), letters)
    found = backbone(f"hf:{hf_folder(tmp_path / 'own', PREPROCESSOR)}")
    assert found.text is None and found.feature_size == 3


def test_a_model_without_a_text_tower_has_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_transformers(monkeypatch, ImageModel("vit"), letters)
    folder = hf_folder(tmp_path / "own", PREPROCESSOR)
    (folder / "tokenizer.json").write_text("{}")
    assert backbone(f"hf:{folder}").text is None


def test_a_tokenizer_that_cannot_be_loaded_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_transformers(monkeypatch, TextAndImage("siglip"), ImportError("sentencepiece is missing"))
    folder = hf_folder(tmp_path / "own", PREPROCESSOR)
    (folder / "spiece.model").write_bytes(b"")
    found = backbone(f"hf:{folder}")
    assert found.text is not None and found.features(noise(16)).shape == (3, 3)
    with pytest.raises(BadInput, match=r"sentencepiece is missing\npip install sentencepiece protobuf"):
        found.text(["cat"])


def test_the_files_of_a_tokenizer_are_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_transformers(monkeypatch, TextAndImage("clip"), letters)
    folder = hf_folder(tmp_path / "cache", PREPROCESSOR)
    calls = hub(monkeypatch, folder)
    backbone("hf:some/clip", download=True)
    assert {"tokenizer.json", "vocab.json", "merges.txt", "spiece.model"} <= set(calls[0]["allow_patterns"])


def test_incomplete_folders_of_transformers_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_transformers(monkeypatch, ImageModel("vit"))
    folder = hf_folder(tmp_path / "own", {"size": 16})
    with pytest.raises(BadInput, match=r"does not say how .* wants its images: KeyError\('image_mean'\)"):
        backbone(f"hf:{folder}")
    (folder / "preprocessor_config.json").unlink()
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadInput, match=r"lacks preprocessor_config.json, model.safetensors"):
        backbone(f"hf:{folder}")


# torchvision

NET = "shufflenet_v2_x0_5"


def test_a_classifier_of_torchvision_without_its_last_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    network = of_torchvision.get_model(NET, weights=None).eval()
    monkeypatch.setattr(of_torchvision, "read_checkpoint", lambda *_: network.state_dict())
    monkeypatch.setattr(of_torchvision, "file_digest", lambda _: "ab" * 32)
    monkeypatch.setattr(of_torchvision, "_fetch", lambda *_: None)
    found = backbone(f"torchvision:{NET}")
    assert (found.licence, found.feature_size, found.framing.side) == ("BSD-3-Clause", 1024, 224)
    small = backbone(f"torchvision:{NET}", side=64)
    with torch.inference_mode():
        mean, std = (
            torch.tensor(values).view(1, 3, 1, 1) for values in (small.framing.mean, small.framing.std)
        )
        expected = network((noise(64) - mean) / std)
        assert torch.allclose(network.fc(small.features(noise(64))), expected, atol=1e-4)


def test_weights_of_torchvision_that_are_missing_or_others(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"not on this machine.*\nAdd --download, or put https://.*/checkpoints\."
    ):
        backbone(f"torchvision:{NET}")
    with pytest.raises(BadInput, match=r"classifier of torchvision 'resnet51'.*\nDid you mean 'resnet50'"):
        backbone("torchvision:resnet51")
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save({"weight": torch.zeros(1)}, folder / "shufflenetv2_x0.5-f707e7126e.pth")
    with pytest.raises(BadInput, match=r"not the expected ones: SHA-256 \w+, not f707e7126e"):
        backbone(f"torchvision:{NET}")


# ONNX


def onnx_file(path: Path, batch: int | str = "N", side: int | str = 16, channels: int = 3) -> Path:
    """Mean colours."""
    given = helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, channels, side, side])
    made = helper.make_tensor_value_info("features", TensorProto.FLOAT, [batch, channels, 1, 1])
    node = helper.make_node("GlobalAveragePool", ["images"], ["features"])
    graph = helper.make_graph([node], "mean", [given], [made])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("batch", ["N", 1])
def test_an_onnx_file_with_what_is_written_beside_it(tmp_path: Path, batch: int | str) -> None:
    path = onnx_file(tmp_path / "net.onnx", batch)
    about = {"licence": "CC0-1.0", "fit": "crop", "mean": [0, 0, 0], "std": [255, 255, 255]}
    (tmp_path / "net.onnx.json").write_text(json.dumps(about))
    found = backbone(f"onnx:{path}")
    assert (found.licence, found.digest, found.framing.fit) == ("CC0-1.0", file_digest(path), Fit.CROP)
    assert torch.allclose(found.features(noise(16)), (noise(16) / 255).mean((2, 3)), atol=1e-5)
    (tmp_path / "net.onnx.json").write_text('{"side": 20}')
    catalogue._by_name.cache_clear()
    with pytest.raises(BadInput, match="has side 20, but"):
        backbone(f"onnx:{path}")
    (tmp_path / "net.onnx.json").write_text('{"colour": 20}')
    with pytest.raises(BadInput, match=r"net.onnx.json cannot be used"):
        backbone(f"onnx:{path}")


def test_an_onnx_file_alone_is_read_as_for_imagenet_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = backbone(f"onnx:{onnx_file(tmp_path / 'net.onnx', side='S')}")
    assert found.framing.side == 224 and found.licence == "unknown"
    assert found.framing.mean == pytest.approx((123.675, 116.28, 103.53))
    assert "normalised as for ImageNet" in caplog.text


def test_onnx_files_of_other_networks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="There is no file"):
        backbone(f"onnx:{tmp_path}/absent.onnx")
    with pytest.raises(BadInput, match=r"\nOne input of N×3×S×S float32 is needed"):
        backbone(f"onnx:{onnx_file(tmp_path / 'grey.onnx', channels=1)}")
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(BadInput, match="cannot be loaded"):
        backbone(f"onnx:{tmp_path}/bad.onnx")
    with pytest.raises(BadInput, match=r"does not read images of 32 pixels"):
        backbone(f"onnx:{onnx_file(tmp_path / 'net.onnx')}", side=32)
