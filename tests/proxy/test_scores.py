"""Training-free scores on cases that can be done by hand, and on a model with everything."""

import math

import pytest
import torch
from torch import nn

from evnas.proxy.scores import activations, gradients
from evnas.proxy.scores.mixing import MixerScore
from evnas.proxy.scores.scored import scored
from evnas.proxy.seeding import seeded
from evnas.tables import SCORES


def two_layers():
    """x -> W2 W1 x with W1 = [[1, -2], [3, 0]], W2 = [[-1, 2]]."""
    first, second = nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, -2.0], [3.0, 0.0]]))
        second.weight.copy_(torch.tensor([[-1.0, 2.0]]))
    return nn.Sequential(nn.Flatten(), first, second)


IMAGES = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(2, 1, 1, 2)
LABELS = torch.tensor([0, 0])


def test_params_counts():
    assert gradients.params(two_layers(), IMAGES, LABELS) == 6


def test_synflow_by_hand():
    # |W2| |W1| 1 = 1 * 3 + 2 * 3 = 9, and each of the two layers carries all of it
    model = two_layers()
    before = [p.clone() for p in model.parameters()]
    assert gradients.synflow(model, IMAGES, LABELS) == pytest.approx(math.log(18))
    assert all(torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True))


def test_naswot_by_hand():
    # W1 x: (1, 3) and (-2, 0): codes 11 and 00 agree on nothing, with themselves on both units
    model = nn.Sequential(two_layers()[0], two_layers()[1], nn.ReLU())
    assert activations.naswot(model, IMAGES, LABELS) == pytest.approx(math.log(4))
    alike = IMAGES[:1].expand(2, 1, 1, 2)
    assert activations.naswot(model, alike, LABELS) == -math.inf
    with pytest.raises(ValueError, match="modules of ReLU"):
        activations.naswot(two_layers(), IMAGES, LABELS)


def test_jacob_cov_by_hand():
    class Turn(nn.Module):
        """Sum of logits q x with q per image: Jacobians (1, 0), (0, 1) and so on."""

        def forward(self, x):
            return (x.flatten(1) * torch.tensor([[1.0, 2.0, 3.0], [3.0, 0.0, 3.0]])).sum(1)

    # (1, 2, 3) and (3, 0, 3) do not correlate: both eigenvalues are 1
    value = gradients.jacob_cov(Turn(), torch.ones(2, 3, 1, 1), LABELS)
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
    assert gradients.grad_norm(model, IMAGES, LABELS) == pytest.approx(weight + bias)


def test_all_scores_leave_the_model_as_it_was(data, make_net):
    with seeded(0, "init"):
        model = make_net()
    model.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.randn(6, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    found = scored(SCORES, model, images, torch.arange(6) % 2, seed=0)
    assert set(found.values) | set(found.reasons) == set(SCORES)
    assert set(found.reasons) == {n for n in SCORES if isinstance(SCORES.get(n), MixerScore)}
    assert "needs a model with one" in found.reasons["reach"]
    assert all(math.isfinite(value) for value in found.values.values())
    assert not model.training
    assert all(p.grad is None for p in model.parameters())
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_snip_by_hand():
    # logits 0 as in grad_norm's case, of weights 1 and biases 2: sum |theta g| over both
    layer = nn.Linear(2, 2)
    model = nn.Sequential(nn.Flatten(), layer)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.fill_(2.0)
    assert gradients.snip(model, IMAGES, LABELS) == pytest.approx(math.log(4 * 0.25 + 2 * 0.5 * 2))


def test_zico_by_hand():
    """Halves with gradients g and 3 g: a ratio of mean to spread of 2 g / g for every weight."""

    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2, 1))

        def forward(self, x):
            return (x.flatten(1).sum(1, keepdim=True) * self.weight.T).repeat(1, 1)

    images = torch.tensor([1.0, 3.0, 1.0, 3.0]).view(4, 1, 1, 1)
    labels = torch.tensor([0, 0, 0, 0])
    # in the order of their sums 1, 1, 3, 3 every other one: halves of sum 1 + 3, so alike: capped
    assert gradients.zico(Weighted(), images, labels) == pytest.approx(math.log(2 * 1e4))
    images = torch.tensor([1.0, 1.0, 1.0, 9.0]).view(4, 1, 1, 1)  # halves (1, 1) and (1, 9)
    # mean gradients 1 and 5 (times one half): mean 3 over spread 2
    assert gradients.zico(Weighted(), images, labels) == pytest.approx(math.log(2 * 1.5))


def test_zen_by_hand():
    class Twice(nn.Module):
        def forward_features(self, x):
            return 2 * x

    images = torch.zeros(2, 1, 100, 100)
    with seeded(0, "zen"):
        found = activations.zen(Twice(), images, LABELS)
    # mean |2 * 0.01 e| of Gaussian e is 0.02 * sqrt(2 / pi)
    assert found == pytest.approx(math.log(0.02 * math.sqrt(2 / math.pi)), abs=0.03)


def test_a_score_without_a_value_says_why():
    model = two_layers()
    with torch.no_grad():
        model[2].weight.zero_()
    found = scored(["synflow", "naswot", "params"], model, IMAGES, LABELS, seed=0)
    assert found.values == {"params": 6.0}
    assert "synflow of this model is -inf" in found.reasons["synflow"]
    assert "modules of ReLU" in found.reasons["naswot"]
