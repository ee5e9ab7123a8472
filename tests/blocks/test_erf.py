"""The effective receptive field against maps whose gradients are known."""

import numpy as np
import pytest
import torch
from torch import nn

from evnas.arch.catalog import entry
from evnas.blocks.backbone import build
from evnas.blocks.erf import effective_receptive_field, last_map_of


def test_a_convolution_sees_its_kernel() -> None:
    conv = nn.Conv2d(3, 2, 3, padding=1, bias=False)
    nn.init.constant_(conv.weight, 0.0)
    conv.weight.data[0, :, 1, 1] = -2.0  # a sign does not matter
    conv.weight.data[1, 0, 0, 2] = 3.0
    field = effective_receptive_field(conv, [torch.randn(2, 3, 9, 8), torch.randn(1, 3, 9, 8)])
    wanted = np.zeros((9, 8))
    wanted[4, 4] = 1.0  # three colours, 2 each
    wanted[3, 5] = 0.5
    assert field.shape == (9, 8) and field.dtype == np.float64
    np.testing.assert_allclose(field, wanted)


def test_it_is_a_mean_over_images() -> None:
    square = lambda x: x.square()  # noqa: E731 - a gradient that grows with the image
    images = torch.zeros(2, 3, 5, 5)
    images[0, :, 2, 2], images[1, :, 2, 2] = 1.0, 3.0
    whole = effective_receptive_field(square, [images])
    apart = effective_receptive_field(square, images.split(1))
    np.testing.assert_array_equal(whole, apart)
    assert whole[2, 2] == 1 and whole.sum() == 1


@pytest.mark.parametrize("name", ["efficientvim_m1", "vmamba_tiny_s1l8", "vssd_micro"])
def test_state_space_models_see_the_whole_image(name: str) -> None:
    arch = entry(name).arch.scaled(0.125)
    model = build(arch, seed=0)
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    field = effective_receptive_field(last_map_of(model), [x])
    assert not model.training and field.max() == 1
    assert (field > 0).mean() > 0.8  # a ReLU of a narrow stem may be shut at a pixel
    corners = field[:8, :8], field[:8, -8:], field[-8:, :8], field[-8:, -8:]
    assert all((corner > 0).any() for corner in corners)
    features = build(arch, features_only=True, out_indices=(-1,))
    features.load_state_dict(model.state_dict(), strict=False)
    np.testing.assert_array_equal(effective_receptive_field(last_map_of(features), [x]), field)


def test_a_map_that_no_pixel_moves_is_all_zero() -> None:
    field = effective_receptive_field(lambda x: 0 * x, [torch.randn(1, 3, 4, 4)])
    assert (field == 0).all()


def test_what_gives_no_map_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        effective_receptive_field(nn.Identity(), [])
    with pytest.raises(ValueError, match=r"got \(1, 3\)"):
        effective_receptive_field(lambda x: x.mean((2, 3)), [torch.randn(1, 3, 4, 4)])
    with pytest.raises(ValueError, match="got Linear"):
        last_map_of(nn.Linear(1, 1))
