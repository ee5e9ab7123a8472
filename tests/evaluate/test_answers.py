"""What counts as right, worked out by hand; what is not finite is never counted as wrong."""

import math

import numpy as np
import pytest
import torch

from evnas.errors import DataError
from evnas.evaluate.answers import answers_of

LOGITS = torch.tensor(
    [
        [3.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0],
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        [1.0, 2.0, math.nan, 0.0, 0.0, 0.0, 0.0],
        [1.0, math.inf, 0.0, 0.0, 0.0, 0.0, 0.0],
    ]
)
LABELS = torch.tensor([0, 2, 1, 1, 1])


def answered(logits: torch.Tensor, labels: torch.Tensor, *, batch_size: int = 2):
    batches = [
        (logits[i : i + batch_size], labels[i : i + batch_size])
        for i in range(0, len(labels), batch_size)
    ]
    return answers_of(lambda x: (x, 0.5), batches, batch_size=batch_size, where="net")


def test_right_right_in_five_and_loss():
    found = answered(LOGITS, LABELS)
    assert found.right.tolist() == [True, False, False, False, False]
    assert found.right_in_five.tolist() == [True, True, False, False, False]
    assert found.finite.tolist() == [True, True, True, False, False]
    first = -math.log(math.exp(3) / (math.exp(3) + math.e + 4 + math.exp(-1)))
    assert found.loss[0] == pytest.approx(first)
    assert np.isnan(found.loss[3:]).all()


def test_images_a_second_are_of_whole_batches_after_the_first():
    assert answered(LOGITS, LABELS).forward_img_s == 2 / 0.5
    assert answered(LOGITS, LABELS).forward_s == (0.5, 0.5)
    assert answered(LOGITS[:1], LABELS[:1]).forward_img_s is None


def test_a_model_that_says_nothing_gets_its_one_class_right_and_no_other():
    found = answered(torch.zeros(4, 3), torch.tensor([0, 1, 2, 0]))
    assert found.right.tolist() == [True, False, False, True]


def test_labels_and_logits_must_fit():
    with pytest.raises(DataError, match="net has 7 classes, and an image is of class 9"):
        answered(LOGITS, torch.tensor([0, 8, 0, 0, 0]))
    with pytest.raises(DataError, match=r"net must give logits \(B, classes\), it gives \(5,\)"):
        answers_of(lambda x: (x[:, 0], 0.1), [(LOGITS, LABELS)], batch_size=5, where="net")
    with pytest.raises(DataError, match="no images"):
        answers_of(lambda x: (x, 0.1), [], batch_size=5, where="net")
