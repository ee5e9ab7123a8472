"""Every loss against a case worked out by hand."""

import math

import pytest
import torch
from timm.utils.model_ema import ModelEmaV3
from tiny_training import RECIPE
from torch import nn

from evnas.train.losses import (
    distillation_loss,
    hard_distillation,
    label_loss,
    mesa_loss,
    soft_distillation,
    training_loss,
)
from evnas.train.session import _mixing

LN2, LN4 = math.log(2), math.log(4)
FLAT = torch.zeros(2, 4)
SURE = torch.tensor([[100.0, 0, 0, 0], [0, 100.0, 0, 0]])
LABELS = torch.tensor([0, 1])


class Says(nn.Module):
    """Answers with the same logits whatever it sees."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, images):
        return self.logits


def test_label_smoothing():
    # 0.9 + 0.1 / 4 on the right class, 0.1 / 4 on each of three that are 100 below it
    assert label_loss(SURE, LABELS, smoothing=0.1).item() == pytest.approx(3 * 0.025 * 100)
    assert label_loss(SURE, LABELS, smoothing=0.0).item() == pytest.approx(0, abs=1e-6)
    shares = torch.full((2, 4), 0.25)
    assert label_loss(FLAT, shares, smoothing=0.1).item() == pytest.approx(LN4)


def test_mixup_and_smoothing_make_the_targets():
    recipe = RECIPE.edited({"mixup": 0.8, "cutmix": 0.0, "label_smoothing": 0.2})
    mix = _mixing(recipe, 4)
    assert mix is not None
    images = torch.stack([torch.zeros(3, 2, 2), torch.ones(3, 2, 2)])
    mixed, targets = mix(images.clone(), LABELS)
    share = 1 - mixed[0, 0, 0, 0].item()  # of the image itself, which was 0
    smooth = lambda label: torch.full((4,), 0.05) + 0.8 * torch.eye(4)[label]  # noqa: E731
    torch.testing.assert_close(targets[0], share * smooth(0) + (1 - share) * smooth(1))
    torch.testing.assert_close(targets[1], share * smooth(1) + (1 - share) * smooth(0))


def test_hard_distillation():
    assert hard_distillation(FLAT, SURE).item() == pytest.approx(LN4)
    assert hard_distillation(SURE, SURE.flip(0)).item() == pytest.approx(100)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_soft_distillation(temperature):
    # the teacher has 3/4 and 1/4 at this temperature, the student 1/2 and 1/2
    taught = torch.tensor([[temperature * math.log(3), 0.0]])
    student = torch.tensor([[0.0, 0.0]], requires_grad=True)
    loss = soft_distillation(student, taught, temperature=temperature)
    divergence = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert loss.item() == pytest.approx(temperature**2 * divergence)
    loss.backward()
    assert student.grad is not None
    assert student.grad[0, 0].item() == pytest.approx(temperature * (0.5 - 0.75))


def test_distillation_weighs_labels_and_teacher():
    hard = RECIPE.edited(
        {"distillation": "hard", "teacher": "x", "distillation_share": 0.25, "label_smoothing": 0}
    )
    two = distillation_loss((FLAT, SURE), LABELS, taught=SURE.flip(0), recipe=hard)
    assert two.item() == pytest.approx(0.75 * LN4 + 0.25 * 100)
    one = distillation_loss(SURE, LABELS, taught=SURE.flip(0), recipe=hard)
    assert one.item() == pytest.approx(0.25 * 100, abs=1e-5)
    soft = hard.edited({"distillation": "soft", "distillation_temperature": 2.0})
    both = distillation_loss((FLAT, FLAT), LABELS, taught=SURE, recipe=soft)
    assert both.item() == pytest.approx(0.75 * LN4 + 0.25 * 4 * LN4)


def test_mesa_asks_the_average():
    assert mesa_loss(FLAT, SURE, nn.Identity()).item() == pytest.approx(LN4)
    assert mesa_loss(SURE, SURE, nn.Identity()).item() == pytest.approx(0, abs=1e-6)


def loss_of(outputs, recipe, *, teacher=None, average=None):
    return training_loss(
        outputs,
        LABELS,
        recipe=RECIPE.edited({"label_smoothing": 0, **recipe}),
        images=torch.zeros(2, 3, 2, 2),
        teacher=teacher,
        average=average,
    ).item()


def test_the_whole_loss_is_the_sum_of_its_parts():
    assert loss_of(FLAT, {}) == pytest.approx(LN4)
    assert loss_of((FLAT, SURE), {}) == pytest.approx(LN4 / 2)
    assert loss_of(FLAT, {"mesa": 0.5}, average=Says(SURE)) == pytest.approx(1.5 * LN4)
    assert loss_of((FLAT, FLAT), {"mesa": 2.0}, average=Says(SURE)) == pytest.approx(3 * LN4)
    taught = {"distillation": "hard", "teacher": "x", "mesa": 0}
    assert loss_of((FLAT, FLAT), taught, teacher=Says(SURE)) == pytest.approx(LN4)


def test_the_average_moves_by_one_minus_the_decay():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    average = ModelEmaV3(model, decay=0.75)
    nn.init.constant_(model.weight, 3.0)
    average.update(model, step=1)  # the first step is taken over whole
    assert average.module.weight.item() == pytest.approx(3.0)
    nn.init.constant_(model.weight, 7.0)
    average.update(model, step=2)
    assert average.module.weight.item() == pytest.approx(0.75 * 3 + 0.25 * 7)
