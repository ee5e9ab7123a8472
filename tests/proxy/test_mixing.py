"""Mixing entropy and effective rank where they are known, and on models of both worlds."""

import math

import pytest
import torch
from torch import nn

import evnas
from evnas.arch.catalog import entry
from evnas.measure.models import peer
from evnas.proxy.scores import activations, gradients
from evnas.proxy.scores.mixing import (
    REACH,
    entropy_over_tokens,
    log_effective_rank,
    mixing,
    token_mixers,
)
from evnas.proxy.seeding import seeded


class OneMixer(nn.Module):
    """A model whose only part is a mixer, by the name that models of timm give it."""

    def __init__(self, attn):
        super().__init__()
        self.attn = attn
        self.attn.weight = nn.Parameter(torch.ones(()))  # a mixer has parameters

    def forward(self, x):
        return self.attn(x).mean((2, 3))


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3), keepdim=True).expand_as(x)


def images(count=4, side=6):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def test_effective_rank_of_a_known_spectrum():
    # three orthogonal directions of equal weight and a shift that centring takes; then one alone
    axes = torch.cat([torch.eye(3), -torch.eye(3)])[None] + 7
    assert log_effective_rank(axes) == pytest.approx(math.log(3))
    line = torch.arange(5.0)[None, :, None] * torch.ones(1, 1, 4)
    assert log_effective_rank(line) == pytest.approx(0, abs=1e-6)
    shares = torch.tensor([0.5, 0.3, 0.2])
    spread = torch.diag(shares.sqrt())
    wanted = -(shares * shares.log()).sum().item()
    assert log_effective_rank(torch.cat([spread, -spread])[None]) == pytest.approx(wanted)
    assert log_effective_rank(torch.ones(1, 4, 3)) == 0.0


def test_entropy_of_a_gradient():
    assert entropy_over_tokens(torch.ones(2, 9, 3)) == pytest.approx(1)
    one = torch.zeros(2, 9, 3)
    one[:, 4] = -2
    assert entropy_over_tokens(one) == 0.0
    two = torch.zeros(1, 4, 1)
    two[:, :2] = 1
    assert entropy_over_tokens(two) == pytest.approx(0.5)


@pytest.mark.parametrize(("mixer", "entropy"), [(nn.Identity(), 0.0), (Mean(), 1.0)])
def test_an_identity_does_not_mix_and_a_mean_mixes_all(mixer, entropy):
    (found,) = mixing(OneMixer(mixer), images())
    assert found.entropy == pytest.approx(entropy, abs=1e-6)
    if entropy == 0:
        assert found.log_rank > 0.5
        assert REACH(OneMixer(mixer), images(), torch.zeros(4)) == 0.0
    else:
        assert found.log_rank == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["efficientvim_m1", "efficient_vmamba_tiny"])
def test_the_order_of_images_does_not_matter_and_the_model_stays(name):
    with seeded(0, "init"):
        model = evnas.build(name).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    x, labels = images(8, 64), torch.arange(8)
    turned = torch.tensor([3, 0, 7, 1, 2, 6, 5, 4])
    for score in (REACH, activations.naswot, activations.zen, gradients.snip, gradients.zico):
        with seeded(0, "score"):
            one = score(model, x, labels)
        with seeded(0, "score"):
            other = score(model, x[turned], labels[turned])
        assert other == pytest.approx(one, rel=2e-3), str(score)
    assert not model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_the_same_seed_gives_the_same_number():
    model = evnas.build("efficientvim_m1", seed=0)
    found = []
    for seed in (0, 0, 1):
        with seeded(seed, "score"):
            found.append(REACH(model, images(4, 64), torch.zeros(4)))
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("swin_tiny_patch4_window7_224", 12),
        ("convnext_tiny", 18),
        ("caformer_s18", 18),
        ("deit_tiny_patch16_224", 12),
        ("resnet18", 13),  # its 3x3 convolutions that keep channels and size
    ],
)
def test_mixers_of_other_models(name, count):
    model = peer(name, resolution=64)
    assert len(token_mixers(model)) == count
    found = mixing(model, images(2, 64))
    assert len(found) == count
    assert all(0 <= m.entropy <= 1 and m.log_rank >= 0 for m in found)


def test_an_inverted_residual_is_a_mixer():
    arch = entry("efficient_vmamba_tiny").arch
    paths = [m.path for m in token_mixers(evnas.build(arch))]
    assert len(paths) == sum(stage.depth for stage in arch.stages)
    assert sum(not path.endswith(".mixer") for path in paths) == 6


def test_windows_of_one_image_are_its_tokens():
    # 64 px: maps of 16, 8, 4 and 2 on a side; a window of 2 can reach 4 of 256 tokens
    found = mixing(peer("swin_tiny_patch4_window7_224", resolution=64), images(2, 64))
    assert found[0].entropy <= math.log(4) / math.log(256) + 1e-6
