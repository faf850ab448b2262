import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from aral.errors import BadInput
from aral.representations import Fit, Framing, RepresentationSettings, make_backbone
from aral.representations.settings import EMBEDDED
from aral.testing import tiny_backbone


def halves(width: int, height: int) -> Image.Image:
    """Left half black, right half white."""
    image = Image.new("L", (width, height), 0)
    image.paste(255, (width // 2, 0, width, height))
    return image


def test_padding_shows_the_whole_image_in_its_shape() -> None:
    square = Framing(side=16, fill=127).frame(halves(64, 32))
    assert square.shape == (3, 16, 16) and square.dtype == np.uint8
    assert (square[:, :4] == 127).all() and (square[:, 12:] == 127).all()
    inside = square[:, 4:12]
    assert (inside[:, :, :6] == 0).all() and (inside[:, :, 10:] == 255).all()


def test_the_centred_square_and_the_squashed_image() -> None:
    stripes = Image.new("RGB", (40, 10), (255, 0, 0))
    stripes.paste((0, 255, 0), (15, 0, 25, 10))
    cropped = Framing(side=10, fit=Fit.CROP).frame(stripes)
    assert (cropped[1] > 250).all() and (cropped[0] < 5).all()
    squashed = Framing(side=40, fit=Fit.SQUASH, resampling="bilinear").frame(stripes)
    assert (squashed[0, :, :14] > 250).all() and (squashed[1, :, 17:23] > 250).all()
    small = Framing(side=10, fit=Fit.CROP, crop_share=0.5).frame(halves(100, 100))
    assert (small[0, :, :4] == 0).all() and (small[0, :, 6:] == 255).all()


@pytest.mark.parametrize("size", [(1, 1), (5000, 1), (1, 700), (8, 8)])
@pytest.mark.parametrize("fit", ["pad", "crop", "squash"])
def test_images_of_every_shape_are_framed(size: tuple[int, int], fit: str) -> None:
    framing = Framing.model_validate({"side": 8, "fit": fit})
    assert framing.frame(Image.new("L", size, 200)).shape == (3, 8, 8)


def test_a_reduced_jpeg_still_has_twice_the_pixels_needed() -> None:
    assert Framing(side=224).enough == (448, 1)
    assert Framing(side=224, fit=Fit.CROP).enough == (448, 448)


def test_framing_and_weights_decide_what_is_comparable() -> None:
    one, same = tiny_backbone("a"), tiny_backbone("a")
    assert one.key == same.key
    assert len({one.key, tiny_backbone("b").key, tiny_backbone("a", side=16).key}) == 3


def test_features_are_normalised_and_do_not_depend_on_the_batch() -> None:
    backbone = tiny_backbone()
    images = torch.arange(21 * 3 * 64, dtype=torch.int64).remainder(256).to(torch.uint8).view(21, 3, 8, 8)
    found = backbone.features(images)
    expected = ((images.double() - 127) / 128).view(21, 3, 2, 4, 2, 4).mean((3, 5)).flatten(1)
    assert torch.allclose(found.double(), expected, atol=1e-6) and not found.requires_grad
    assert torch.equal(found[5:6], backbone.features(images[5:6]))
    assert torch.equal(found, backbone.module()(images))
    assert backbone.features(images[:0]).shape == (0, 12)


class Infinite(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return torch.full((len(images), 12), torch.inf)


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(BadInput, match="'broken' gives features that are NaN"):
        tiny_backbone("broken", trunk=Infinite()).features(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


def test_the_embedded_backbone_is_moved_whole() -> None:
    """On ``meta``, a weight or a mean that stayed behind is an error."""
    backbone = make_backbone(RepresentationSettings(backbone=EMBEDDED)).on("meta")
    module = backbone.module().to(backbone.device)
    found = module(torch.zeros((2, 3, 64, 64), dtype=torch.uint8, device="meta"))
    assert found.is_meta and found.shape == (2, backbone.feature_size)


def test_features_of_a_device_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device by another name, with larger batches: the images go there, and the features return."""
    backbone = tiny_backbone()
    images = torch.arange(21 * 3 * 64, dtype=torch.int64).remainder(256).to(torch.uint8).view(21, 3, 8, 8)
    expected, seen = backbone.features(images), []
    monkeypatch.setattr("aral.representations.backbone.BATCH", 8)
    forward = backbone.trunk.forward
    monkeypatch.setattr(backbone.trunk, "forward", lambda x: seen.append(len(x)) or forward(x))
    moved = backbone.on("cpu")
    assert moved.key == backbone.key and torch.allclose(moved.features(images), expected, atol=1e-6)
    assert seen == [8, 8, 5]
    assert backbone.on("meta").batch > moved.batch
