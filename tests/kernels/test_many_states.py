"""More states than one of the usual tiles holds."""

from collections.abc import Callable

import pytest
import torch

from evnas import kernels

STATES = 130
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(DEVICE)


def compress(impl, u, dt, B):
    return kernels.hsm_ssd_compress(u, dt, B, impl=impl)


def expand(impl, h, C):
    return kernels.hsm_ssd_expand(h, C, impl=impl)


def whole(impl, v, delta, B, C):
    one = torch.ones(1, device=DEVICE)
    return kernels.nc_ssd(v, delta, one, B, C, one, heads=1, impl=impl)[0]


TOKENS = draw(1, STATES, 5)
CASES: dict[str, tuple[Callable[..., torch.Tensor], tuple[torch.Tensor, ...]]] = {
    "compress": (compress, (draw(1, 3, 5), TOKENS, TOKENS)),
    "expand": (expand, (draw(1, 3, STATES), TOKENS)),
    "nc_ssd": (whole, (draw(1, 3, 5), draw(1, 1, 5).abs(), TOKENS, TOKENS)),
}


@pytest.mark.parametrize("name", CASES)
def test_every_state_is_worked_out(name):
    run, inputs = CASES[name]
    found = {}
    for impl in ("triton", "reference"):
        leaves = [t.clone().requires_grad_() for t in inputs]
        y = run(impl, *leaves)
        found[impl] = [y.detach(), *torch.autograd.grad(y.square().sum(), leaves)]
    for got, want in zip(found["triton"], found["reference"], strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-3)
