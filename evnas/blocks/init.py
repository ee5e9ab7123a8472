"""Initial values of parameters, in place. Whoever builds a model seeds torch's generator.

On the meta device, where models are counted, there are no values. What would be worked out for
them is left out there: for that torch loads its compiler, which takes seconds.
"""

import math

import torch
from torch import Tensor, nn

DT_MIN, DT_MAX, DT_FLOOR = 1e-3, 0.1, 1e-4


def linear_(weight: Tensor, bias: Tensor | None) -> None:
    """Truncated normal of std 0.02 and a zero bias: every linear map of the four releases."""
    nn.init.trunc_normal_(weight, std=0.02)
    if bias is not None:
        nn.init.zeros_(bias)


def convolution_(weight: Tensor) -> None:
    """What torch gives a convolution: uniform within 1 / sqrt(fan in)."""
    bound = math.prod(weight.shape[1:]) ** -0.5
    nn.init.uniform_(weight, -bound, bound)


@torch.no_grad()
def step_bias_(bias: Tensor) -> None:
    """Inverse softplus of a step drawn log-uniformly from [0.001, 0.1].

    Source: Mamba, arXiv 2312.00752, Section 3.6.
    """
    if bias.is_meta:
        return
    nn.init.uniform_(bias, math.log(DT_MIN), math.log(DT_MAX))
    step = bias.exp().clamp(min=DT_FLOOR)
    bias.copy_(step + torch.log(-torch.expm1(-step)))


@torch.no_grad()
def log_uniform_(a_log: Tensor, low: float = 1.0, high: float = 16.0) -> None:
    """log of U(low, high)."""
    if a_log.is_meta:
        return
    nn.init.uniform_(a_log, low, high)
    a_log.log_()


@torch.no_grad()
def selective_scan_(a_log: Tensor, dt_weight: Tensor, dt_bias: Tensor, *, scheme: str) -> None:
    """The parameters that VMamba's Table 11 initializes in three ways; D is 1 in all of them.

    Args:
        a_log: log(-A), (K, D, N).
        dt_weight: (K, D, R).
        dt_bias: (K, D).
        scheme: `mamba`: log(-A) = log(1..N), weights uniform within R^-0.5, bias the inverse
            softplus of a log-uniform step. `rand`: log(-A) standard normal, weights and bias
            normal of std 0.1. `zero`: log(-A) zero, the rest as `rand`.

    Source: VMamba, arXiv 2401.10166, Appendix H.2. The paper says "random vector" and names no
    distribution; these are our reading, and keep the first steps near softplus(0).
    """
    if a_log.is_meta:
        return
    if scheme == "mamba":
        states = torch.arange(1, a_log.shape[-1] + 1, dtype=a_log.dtype, device=a_log.device)
        a_log.copy_(states.log().expand_as(a_log))
        bound = dt_weight.shape[-1] ** -0.5
        nn.init.uniform_(dt_weight, -bound, bound)
        step_bias_(dt_bias)
        return
    if scheme == "rand":
        nn.init.normal_(a_log)
    else:
        nn.init.zeros_(a_log)
    nn.init.normal_(dt_weight, std=0.1)
    nn.init.normal_(dt_bias, std=0.1)
