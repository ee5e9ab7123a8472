"""What whole models start of our kernels on a GPU, on a machine without one.

A model runs on tensors that say they lie on a GPU and hold nothing; our operators' bodies run in
it as they would there, so that Triton is asked for the very kernels of that model and form.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from evnas.arch.catalog import entry
from evnas.arch.spec import ArchSpec
from evnas.blocks.backbone import build
from evnas.blocks.deploy import deploy
from evnas.blocks.deployment.fused import FusedConv, FusedLinear
from evnas.blocks.deployment.joined import JoinedLinear
from evnas.kernels import autotune_table, dispatch
from evnas.kernels.operator import BODIES, NAMESPACE
from evnas.mixers.hsm_ssd.deploy import RowHsmSsd
from evnas.sweep.sweep import load_sweep

BATCHES = {"efficientvim_m2": 256, "vmamba_tiny_s1l8": 128}
ROWS_BATCH = 256
RESOLUTION = 224
HALF = torch.float16


@dataclass(frozen=True, slots=True)
class Run:
    """One model in one form."""

    name: str
    call: Callable[[], object]


def runs(sweep: Path) -> Iterator[Run]:
    """Forwards of the targets' models, plain, under autocast and deployed in both layouts, as
    `auto` takes it and by kernels that nobody has timed, and of the rows of a sweep under
    autocast. Backwards are not among them: autograd asks for the GPU."""
    for name, batch in BATCHES.items():
        arch = entry(name).arch
        yield Run(f"{name} plain", partial(_plain, arch, batch))
        yield Run(f"{name} autocast", partial(_autocast, arch, batch))
        for layout in ("contiguous", "channels_last"):
            yield Run(f"{name} deployed {layout}", partial(_deployed, arch, batch, layout))
            by_name = partial(_by_kernels, arch, batch, layout)
            yield Run(f"{name} deployed {layout} by kernels", by_name)
    for row in load_sweep(sweep).candidates:
        if row.arch is not None:
            yield Run(f"row {row.label}", partial(_autocast, row.arch, ROWS_BATCH))


def _plain(arch: ArchSpec, batch: int) -> object:
    model = build(arch, seed=0).eval().to(HALF)
    return _forward(model, batch, HALF)


def _deployed(arch: ArchSpec, batch: int, layout: Any) -> object:
    return _forward(deploy(build(arch, seed=0), dtype=HALF, layout=layout), batch, HALF)


def by_kernels(model: nn.Module) -> nn.Module:
    """A deployed model whose convolutions, linear maps and states run by the kernels that nobody
    has timed: bias, activation and residual in the launch of the product."""
    for module in model.modules():
        if isinstance(module, (FusedConv, FusedLinear, JoinedLinear)):
            module.impl = "triton"
        elif isinstance(module, RowHsmSsd):
            module.impl = "triton_fused"
    return model


def _by_kernels(arch: ArchSpec, batch: int, layout: Any) -> object:
    model = deploy(build(arch, seed=0), dtype=HALF, layout=layout)
    return _forward(by_kernels(model), batch, HALF)


def _autocast(arch: ArchSpec, batch: int) -> object:
    with _half_by_autocast():
        return _forward(build(arch, seed=0).eval(), batch, torch.float32)


def _forward(model: nn.Module, batch: int, dtype: torch.dtype) -> object:
    with as_on_a_gpu(model), torch.no_grad():
        return model(images(batch, dtype))


def images(batch: int, dtype: torch.dtype) -> torch.Tensor:
    """(batch, 3, S, S), within `as_on_a_gpu`."""
    return torch.empty(batch, 3, RESOLUTION, RESOLUTION, dtype=dtype, device="cuda")


@contextmanager
def as_on_a_gpu(
    model: nn.Module, capability: tuple[int, int] = (9, 0), *, launching: bool = True
) -> Iterator[None]:
    """Within, the model's weights and new tensors lie on a GPU that is not there; our operators
    launch their kernels, or else say no more than what they would return."""

    def known(device: torch.device) -> tuple[int, int]:
        return capability

    def forget() -> None:
        autotune_table.device_name.cache_clear()
        autotune_table.fastest.cache_clear()

    forget()
    with (
        ExitStack() as afterwards,
        FakeTensorMode(allow_non_fake_inputs=True),
        mock.patch.object(autotune_table, "capability", known),
        mock.patch.object(dispatch, "capability", known),
        _Bodies() if launching else nullcontext(),
    ):
        afterwards.callback(forget)
        for module in model.modules():
            for name, weight in module.named_parameters(recurse=False):
                module.register_parameter(
                    name, nn.Parameter(_moved(weight), requires_grad=weight.requires_grad)
                )
            for name, buffer in module.named_buffers(recurse=False):
                module.register_buffer(name, _moved(buffer))
        yield


def _moved(t: torch.Tensor) -> torch.Tensor:
    return torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device="cuda")


class _Bodies(TorchDispatchMode):
    """Our operators run as they are, instead of saying what they would return."""

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func.namespace != NAMESPACE:
            return func(*args, **(kwargs or {}))
        with self:
            return BODIES[func._opname](*args, **(kwargs or {}))


@contextmanager
def _half_by_autocast() -> Iterator[None]:
    """torch.autocast, which turns itself off where there is no GPU."""
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", HALF)
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        torch.autocast_decrement_nesting()
        torch.clear_autocast_cache()
        torch.set_autocast_enabled("cuda", False)
