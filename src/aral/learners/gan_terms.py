"""Terms of a plain class-conditional GAN: realness of (image, class), without codes; a critic's rotation head.

Used by a GAN that is trained apart (S3GAN), judged by its own critic, and by BGADL, judged by D̃.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from jaxtyping import Float
from torch import Tensor

from aral.learners.step import Part
from aral.learners.terms import Compute
from aral.learners.view import View
from aral.losses import adversarial, hinge, rotation

GanLoss: TypeAlias = Literal["logistic", "hinge"]
_TELL = {"logistic": adversarial.discriminator_loss, "hinge": hinge.discriminator_loss}
_FOOL = {"logistic": adversarial.generator_loss, "hinge": hinge.generator_loss}


def tell_pairs(loss: GanLoss, made: Part, labelled_share: float, hard_labels: bool = False) -> Compute:
    """Real pairs (x, y) are told from made ones; to the judge.

    Args:
        loss: the form of the GAN's loss.
        made: the part that no camera took.
        labelled_share: of the real side, in [0, 1]; the rest falls to unlabelled images with the classes
            the judge gives them. At 1 the phase need not see any.
        hard_labels: give unlabelled images the one likeliest class instead of probabilities.
    """

    def compute(view: View) -> Float[Tensor, ""]:
        labelled = view.pair_logits(Part.LABELLED)
        if labelled_share == 1.0:
            unlabelled = labelled[:0]
        else:
            unlabelled = view.pair_logits(Part.UNLABELLED, hard_labels)
        return _TELL[loss](labelled, unlabelled, view.pair_logits(made), labelled_share)

    return compute


def fool_pairs(loss: GanLoss, made: Part) -> Compute:
    """Made pairs want to look real; to the networks that made them."""
    return lambda view: _FOOL[loss](view.pair_logits(made))


def tell_turns(part: Part) -> Compute:
    """The quarter turn of rotated images is told; to the critic on real images, to G on generated ones."""
    return lambda view: rotation.turn_loss(view.turn_logits(part))


def parts_judged(labelled_share: float, made: Part) -> frozenset[Part]:
    """What a phase of :func:`tell_pairs` has to see."""
    real = {Part.LABELLED} if labelled_share == 1.0 else {Part.LABELLED, Part.UNLABELLED}
    return frozenset(real | {made})
