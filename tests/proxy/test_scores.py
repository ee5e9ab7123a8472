"""Training-free scores on cases that can be done by hand, and on a model with everything."""

import math

import pytest
import torch
from torch import nn

from evnas.proxy import scores
from evnas.proxy.seeding import seeded


def two_layers():
    """x -> W2 W1 x with W1 = [[1, -2], [3, 0]], W2 = [[-1, 2]]."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[1.0, -2.0], [3.0, 0.0]]))
        model[2].weight.copy_(torch.tensor([[-1.0, 2.0]]))
    return model


IMAGES = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(2, 1, 1, 2)
LABELS = torch.tensor([0, 0])


def test_params_counts():
    assert scores.params(two_layers(), IMAGES, LABELS) == 6


def test_synflow_by_hand():
    # |W2| |W1| 1 = 1 * 3 + 2 * 3 = 9, and each of the two layers carries all of it
    model = two_layers()
    before = [p.clone() for p in model.parameters()]
    assert scores.synflow(model, IMAGES, LABELS) == pytest.approx(math.log(18))
    assert all(torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True))


def test_naswot_by_hand():
    # W1 x: (1, 3) and (-2, 0): codes 11 and 00 agree on nothing, with themselves on both units
    model = nn.Sequential(two_layers()[0], two_layers()[1], nn.ReLU())
    assert scores.naswot(model, IMAGES, LABELS) == pytest.approx(math.log(4))
    alike = IMAGES[:1].expand(2, 1, 1, 2)
    assert scores.naswot(model, alike, LABELS) == -math.inf
    with pytest.raises(ValueError, match="modules of ReLU"):
        scores.naswot(two_layers(), IMAGES, LABELS)


def test_jacob_cov_by_hand():
    class Turn(nn.Module):
        """Sum of logits q x with q per image: Jacobians (1, 0), (0, 1) and so on."""

        def forward(self, x):
            return (x.flatten(1) * torch.tensor([[1.0, 2.0, 3.0], [3.0, 0.0, 3.0]])).sum(1)

    # (1, 2, 3) and (3, 0, 3) do not correlate: both eigenvalues are 1
    value = scores.jacob_cov(Turn(), torch.ones(2, 3, 1, 1), LABELS)
    k = 1e-5
    assert value == pytest.approx(-2 * (math.log(1 + k) + 1 / (1 + k)))


def test_grad_norm_by_hand():
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    # logits 0: d loss / d logits = (-1/2, 1/2) for both, averaged with inputs (1, 0) and (0, 1)
    weight = math.sqrt(4 * 0.25**2)
    bias = math.sqrt(2 * 0.5**2)
    assert scores.grad_norm(model, IMAGES, LABELS) == pytest.approx(weight + bias)


def test_all_scores_leave_the_model_as_it_was(data, make_net):
    with seeded(0, "init"):
        model = make_net()
    model.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.randn(6, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    with seeded(0, "scores"):
        found = scores.training_free_scores(model, images, torch.arange(6) % 2)
    assert set(found) == set(scores.SCORES)
    assert all(math.isfinite(value) for value in found.values())
    assert not model.training
    assert all(p.grad is None for p in model.parameters())
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
