"""Batches of no image, and torch.func."""

import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from evnas import kernels
from evnas.arch.catalog import catalog
from evnas.blocks.backbone import build
from evnas.blocks.deploy import deploy

FAMILIES = [
    "efficientvim_m1_dist",
    "vssd_micro",
    "vanilla_vmamba_tiny",
    "vmamba_tiny_s1l8",
    "efficient_vmamba_tiny",
]


def small(name: str, **settings: Any) -> nn.Module:
    return build(catalog()[name].arch.scaled(0.125), seed=0, **settings).eval()


@pytest.mark.parametrize("impl", ["auto", "reference", "cpu"])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_batch_of_no_image_has_no_logits(name: str, impl: Any) -> None:
    x = torch.zeros(0, 3, 64, 48)
    model = small(name, impl=impl)
    logits = model(x)
    assert logits.shape == (0, 1000)
    logits.sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
    assert not any(m.shape[0] for m in small(name, impl=impl, features_only=True)(x))
    for layout in ("channels_last", "contiguous"):
        assert deploy(model, layout=layout)(x).shape == (0, 1000)


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients_and_batches_by_torch_func(name: str) -> None:
    model, x = small(name), torch.randn(2, 3, 64, 64)
    parameters = {k: v.detach() for k, v in model.named_parameters()}
    buffers = dict(model.named_buffers())

    def logits(parameters: Any, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = functional_call(model, (parameters, buffers), (images,))
        return found

    found = grad(lambda p: logits(p, x).square().sum())(parameters)
    model(x).square().sum().backward()
    for key, parameter in model.named_parameters():
        want = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(found[key], want, rtol=1e-3, atol=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of attention that it batches slowly
        one_by_one = vmap(lambda image: logits(parameters, image[None])[0])(x)
    torch.testing.assert_close(one_by_one, model(x), rtol=1e-3, atol=1e-4)


def test_an_implementation_asked_for_by_name_says_that_it_cannot() -> None:
    run = grad(lambda x: kernels.channel_layer_norm(x, impl="cpu").square().sum())
    with pytest.raises(RuntimeError, match=r"evnas::channel_layer_norm is not for torch\.func"):
        run(torch.randn(1, 3, 4))
