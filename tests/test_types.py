"""The shared nouns refuse what cannot be, and keep ids with what is said of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aral.errors import BadInput
from aral.types import ImageSet, LabelledBatch, LabelledSet, Selection, UnlabelledBatch, one_hot


def ids(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def pixels(count: int) -> torch.Tensor:
    """Row i holds the number i."""
    return torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 3, 2, 4).contiguous()


def selection(chosen: np.ndarray, *scores: float) -> Selection:
    reasons = tuple(f"because of {image}" for image in chosen)
    return Selection(chosen, np.array(scores, dtype=np.float64), "test", reasons)


class TestImageSet:
    def test_of_takes_every_row(self) -> None:
        images = ImageSet.of(pixels(5))
        assert images.ids.tolist() == [0, 1, 2, 3, 4]
        assert len(images) == 5
        assert images.shape == (3, 2, 4)

    def test_subsets_share_pixels(self) -> None:
        images = ImageSet.of(pixels(6))
        part = images.subset(ids(4, 1, 3))
        assert part.ids.tolist() == [1, 3, 4]
        assert part.pixels is images.pixels
        assert part.without(ids(3, 0)).ids.tolist() == [1, 4]
        assert len(part.without(part.ids)) == 0

    @settings(deadline=None)
    @given(st.sets(st.integers(0, 19)), st.sets(st.integers(0, 19)))
    def test_subset_and_without_are_set_operations(self, kept: set[int], dropped: set[int]) -> None:
        part = ImageSet.of(pixels(20)).subset(ids(*kept))
        assert part.ids.tolist() == sorted(kept)
        assert part.without(ids(*dropped)).ids.tolist() == sorted(kept - dropped)

    @pytest.mark.parametrize("wrong", [ids(1, 0), ids(1, 1)])
    def test_ids_must_ascend(self, wrong: np.ndarray) -> None:
        with pytest.raises(ValueError, match="ascending and unique"):
            ImageSet(pixels(3), wrong)

    @pytest.mark.parametrize("wrong", [ids(-1, 0), ids(0, 3)])
    def test_ids_must_be_rows(self, wrong: np.ndarray) -> None:
        with pytest.raises(ValueError, match="do not fit 3 pixel rows"):
            ImageSet(pixels(3), wrong)

    def test_has_no_field_for_labels(self) -> None:
        assert {field.name for field in dataclasses.fields(ImageSet)} == {"pixels", "ids"}


class TestLabelledSet:
    def test_every_class_in_range_is_accepted(self) -> None:
        labelled = LabelledSet(ImageSet.of(pixels(3)), ids(0, 2, 1), 3)
        assert len(labelled) == 3
        assert labelled.ids.tolist() == [0, 1, 2]
        assert len(LabelledSet(ImageSet.of(pixels(3)).subset(ids()), ids(), 3)) == 0

    @pytest.mark.parametrize("wrong", [ids(0, 1, 3), ids(-1, 0, 1), ids(255, 255, 255)])
    def test_labels_out_of_range_are_refused(self, wrong: np.ndarray) -> None:
        with pytest.raises(BadInput, match="between 0 and 2 for 3 classes") as caught:
            LabelledSet(ImageSet.of(pixels(3)), wrong, 3)
        assert f"{wrong.min()} to {wrong.max()}" in caught.value.problem
        assert caught.value.hint

    def test_one_class_an_image(self) -> None:
        with pytest.raises(ValueError, match="3 images but 2 classes"):
            LabelledSet(ImageSet.of(pixels(3)), ids(0, 1), 2)

    def test_shares_by_hand_and_equal_without_labels(self) -> None:
        """One more of each: (1, 3, 2) of 3 + 3, and a third each of nothing."""
        labelled = LabelledSet(ImageSet.of(pixels(3)), ids(1, 2, 1), 3)
        assert labelled.class_shares.tolist() == pytest.approx([1 / 6, 3 / 6, 2 / 6])
        nobody = LabelledSet(ImageSet.of(pixels(3)).subset(ids()), ids(), 3)
        assert nobody.class_shares.tolist() == pytest.approx([1 / 3] * 3)


class TestBatches:
    def test_an_unlabelled_batch_has_no_room_for_labels(self) -> None:
        assert {field.name for field in dataclasses.fields(UnlabelledBatch)} == {"ids", "images"}
        assert {field.name for field in dataclasses.fields(LabelledBatch)} == {"ids", "images", "class_probs"}

    def test_to_keeps_every_field(self) -> None:
        images = torch.rand(2, 1, 3, 3)
        labelled = LabelledBatch(ids(4, 2), images, torch.eye(2)).to(torch.device("cpu"))
        assert labelled.ids.tolist() == [4, 2]
        assert labelled.images.equal(images) and labelled.class_probs.equal(torch.eye(2))
        unlabelled = UnlabelledBatch(ids(4, 2), images).to(torch.device("cpu"))
        assert unlabelled.ids.tolist() == [4, 2] and unlabelled.images.equal(images)

    def test_one_hot_by_hand(self) -> None:
        rows = one_hot(ids(2, 0, 2), 4)
        assert rows.tolist() == [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 1, 0]]
        assert rows.dtype == torch.float32


class TestSelection:
    def test_keeps_order(self) -> None:
        found = selection(ids(7, 3, 5), 0.9, 0.5, 0.1)
        assert len(found) == 3
        part = found.only(ids(5, 7, 11))
        assert part.ids.tolist() == [7, 5]
        assert part.scores.tolist() == [0.9, 0.1]
        assert part.reasons == ("because of 7", "because of 5")
        assert part.acquisition == "test"

    def test_an_image_is_selected_once(self) -> None:
        with pytest.raises(ValueError, match="selected twice"):
            selection(ids(7, 3, 7), 0.9, 0.5, 0.1)

    @pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
    def test_scores_are_finite(self, wrong: float) -> None:
        with pytest.raises(ValueError, match="non-finite"):
            selection(ids(7, 3), 0.9, wrong)

    def test_fields_have_one_length(self) -> None:
        with pytest.raises(ValueError, match="2 ids, 2 scores, 1 reasons"):
            Selection(ids(1, 2), np.zeros(2), "test", ("only one",))
        with pytest.raises(ValueError, match="2 ids, 2 scores, 3 reasons"):
            Selection(ids(1, 2), np.zeros(2), "test", ("one", "two", "three"))
