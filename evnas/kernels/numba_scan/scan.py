"""A scan of maps along routes, and its adjoint, by the compiled loops."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from . import team
from .entries import entry_point, version
from .layout import GROUP, by_lanes, lane_floats, map_floats

SMALL = 20_000
"""Steps of all states below which other threads cost more than they do."""


@dataclass(frozen=True, slots=True)
class Maps:
    """Inputs of a scan; any strides, float16, bfloat16 or float32, all on the CPU.

    The images take turns at the parameter sets: image b has set b % sets. Each set holds those of
    K routes, its `walks` say how they go (bits of `layout`).
    """

    u: Tensor  # (Bt, Dm, H, W), what all routes of an image read
    delta: Tensor  # (Bt, K, Dm, H, W)
    A: Tensor  # (sets * K, Dm, N)
    B: Tensor  # (Bt, K, N, H, W)
    C: Tensor  # (Bt, K, N, H, W)
    D: Tensor  # (sets * K, Dm)
    bias: Tensor  # (sets * K, Dm)
    walks: Sequence[int]  # sets * K
    softplus: bool = True

    def tensors(self) -> tuple[Tensor, ...]:
        """u, delta, A, B, C, D and bias."""
        return self.u, self.delta, self.A, self.B, self.C, self.D, self.bias


def scan_forward(maps: Maps) -> Tensor:
    """The sum over an image's routes, (Bt, Dm, H, W), float32."""
    given = [_plain(t) for t in maps.tensors()]
    y = torch.empty(maps.u.shape, dtype=torch.float32, device="cpu")
    _run("forward", maps, given, y, [], workers=_workers(maps))
    return y


def scan_backward(maps: Maps, gy: Tensor) -> list[Tensor]:
    """Gradients of u, delta, A, B, C, D and bias, float32, of their shapes."""
    given, workers = [_plain(t) for t in maps.tensors()], _workers(maps)
    u, delta, A, B, C, D, bias = given
    Bt, K, parts = *delta.shape[:2], _parts(maps, workers)
    gu, gdelta = torch.empty_like(u), torch.empty_like(delta)
    gA, gD, gbias = (A.new_empty((Bt, K, *p.shape[1:])) for p in (A, D, bias))
    gB, gC = (t.new_zeros((parts, *t.shape)) for t in (B, C))
    grads = [gu, gdelta, gA, gB, gC, gD, gbias]
    _run("backward", maps, given, _plain(gy), grads, workers=workers)
    for i, p in ((2, A), (5, D), (6, bias)):
        grads[i] = grads[i].view(-1, *p.shape).sum(0)  # the images of one set
    grads[3:5] = gB.sum(0), gC.sum(0)
    return grads


def _run(
    name: str,
    maps: Maps,
    given: Sequence[Tensor],
    y: Tensor,
    grads: Sequence[Tensor],
    *,
    workers: int,
) -> None:
    (Bt, Dm, H, W), K, N = maps.u.shape, maps.delta.shape[1], maps.A.shape[2]
    lanes = by_lanes(N, W)
    floats = map_floats(H, W) + (lane_floats(H * W, N) if lanes else 0)
    scratch = torch.empty(workers * floats, dtype=torch.float32, device="cpu")
    walks = torch.tensor(maps.walks, dtype=torch.int64, device="cpu")
    sizes = (
        Bt,
        K,
        len(maps.walks) // K,
        Dm,
        N,
        H,
        W,
        _parts(maps, workers),
        maps.softplus,
        floats,
    )
    arrays = (*given, walks, scratch, y, *grads)
    addresses = (t.data_ptr() for t in arrays)
    words = torch.tensor([0, 0, 0, 0, *sizes, *addresses], dtype=torch.int64, device="cpu")
    words[3] = words.data_ptr()
    body = f"{name}_by_lanes" if lanes else name
    team.run(entry_point(body), words.data_ptr(), workers)
    if words[2] != version():
        raise RuntimeError("numba's cache holds machine code of another version of evnas")


def _plain(t: Tensor) -> Tensor:
    """As machine code reads it by its address; another device's would end the process."""
    if t.device.type != "cpu":
        raise ValueError(f"every input must be on the CPU as the first one is, got {t.device}")
    return t.detach().to(torch.float32).contiguous()


def _workers(maps: Maps) -> int:
    """As many threads as torch may use, and one for little work."""
    steps = maps.delta.numel() * maps.A.shape[2]
    groups = maps.u.shape[0] * -(-maps.u.shape[1] // GROUP)
    return 1 if steps < SMALL else min(torch.get_num_threads(), groups)


def _parts(maps: Maps, workers: int) -> int:
    """Into how many parts an image's channels go so that all workers have as much to do."""
    images, groups = maps.u.shape[0], -(-maps.u.shape[1] // GROUP)
    even = workers // math.gcd(images, workers)
    return min(groups, even, 2 * -(-workers // images))
