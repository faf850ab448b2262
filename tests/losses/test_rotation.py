"""Quarter turns of a picture whose pixels have names, and the loss by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import log_softmax

from aral.losses.rotation import quarter_turns, turn_loss

PICTURE = torch.tensor([[1.0, 2.0], [3.0, 4.0]])


def test_turns_by_hand() -> None:
    """Counter-clockwise: the upper right corner comes to the upper left, and so on."""
    other = 10 * PICTURE
    turned = quarter_turns(torch.stack([PICTURE, other])[:, None])
    assert turned.shape == (8, 1, 2, 2)
    expected = [[[1, 2], [3, 4]], [[2, 4], [1, 3]], [[4, 3], [2, 1]], [[3, 1], [4, 2]]]
    for turn, rows in enumerate(expected):
        assert turned[2 * turn, 0].tolist() == rows
        assert (turned[2 * turn + 1] == 10 * turned[2 * turn]).all()


def test_loss_by_hand() -> None:
    """Two images: logits in the order 0°, 0°, 90°, 90° …, each row names its turn with logit 2, one errs."""
    logits = 2.0 * torch.eye(4).repeat_interleave(2, dim=0)
    right = -math.log(math.exp(2) / (math.exp(2) + 3))
    assert turn_loss(logits).item() == pytest.approx(right, rel=1e-6)
    logits[3] = torch.tensor([2.0, 0.0, 0.0, 0.0])
    assert turn_loss(logits).item() == pytest.approx((7 * right + right + 2) / 8, rel=1e-6)


def test_chance_is_log_four() -> None:
    assert turn_loss(torch.zeros(12, 4)).item() == pytest.approx(math.log(4))


def test_a_reader_of_the_bright_corner_tells_turns_of_these_pictures() -> None:
    """Logits made from where the brightest pixel is agree with the loss's own idea of the turns."""
    pictures = torch.stack(
        [torch.tensor([[[9.0, 0.0], [1.0, 2.0]]]), torch.tensor([[[5.0, 1.0], [0.0, 1.0]]])]
    )
    # Counter-clockwise the upper left corner goes to lower left, lower right, upper right.
    turned = quarter_turns(pictures)[:, 0]
    corners = torch.stack([turned[:, 0, 0], turned[:, 1, 0], turned[:, 1, 1], turned[:, 0, 1]], dim=1)
    assert turn_loss(10 * corners).item() < 1e-6
    assert log_softmax(corners, dim=1).argmax(dim=1).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
