"""A captured CUDA graph takes nothing of a forward from the host, and waits for it nowhere."""

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from evnas.arch.catalog import entry
from evnas.arch.spec import ArchSpec
from evnas.blocks.backbone import build
from evnas.blocks.deploy import deploy
from evnas.kernels.operator import BODIES, NAMESPACE

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MODELS = (
    *("efficientvim_m1", "vssd_micro", "vmamba_tiny_s1l8", "vanilla_vmamba_tiny"),
    "efficient_vmamba_tiny",
)


class Captured(TorchDispatchMode):
    """Refuses copies from the host. Values that the host asks for are refused by fake tensors."""

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func.namespace == NAMESPACE:
            with self:
                return BODIES[func._opname](*args, **(kwargs or {}))
        result = func(*args, **(kwargs or {}))
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        on_host = any(t.device.type == "cpu" and t.ndim for t in given)
        made = [t for t in tree_leaves(result) if isinstance(t, torch.Tensor)]
        assert not (on_host and any(t.is_cuda for t in made)), f"{func} copies from the host"
        return result


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Within, new tensors lie on a GPU that is not there."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("model_launches").as_on_a_gpu
    sys.modules.pop("model_launches", None)


@pytest.fixture
def on_a_gpu(as_on_a_gpu: Callable[..., Any]) -> Callable[..., None]:
    """Runs an operator's call on tensors that say that they lie on a GPU."""

    def run(call: Any, impl: str) -> None:
        def moved(t: torch.Tensor | None) -> torch.Tensor | None:
            if t is None:
                return None
            return torch.empty_strided(t.shape, t.stride(), dtype=torch.float16, device="cuda")

        with as_on_a_gpu(nn.Identity(), launching=False), torch.no_grad():
            given = {name: moved(t) for name, t in call.inputs.items()}
            with Captured():
                call.run(**given, **call.options, impl=impl)

    return run


@pytest.mark.parametrize("form", ["plain", "deployed"])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_can_be_captured(
    name: str, form: str, as_on_a_gpu: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `auto` takes its operators where no kernel can run."""
    monkeypatch.setattr("evnas.kernels.dispatch.why_not_triton", lambda *_: "no kernels")
    raw = entry(name).arch.scaled(0.25).to_dict()
    blocks = [stage | {"depth": 1} for stage in raw["stages"]]  # what more do, these do
    model = build(ArchSpec.from_dict(raw | {"stages": blocks}), seed=0).eval()
    if form == "deployed":
        model = deploy(model, dtype=torch.float16)
    with as_on_a_gpu(model, launching=False), torch.no_grad():
        dtype = next(model.parameters()).dtype
        images = torch.empty(2, 3, 64, 64, dtype=dtype, device="cuda")
        with Captured():
            model(images)


@pytest.mark.parametrize("impl", ["reference", "cpu"])
def test_plain_torch_can_be_captured(
    build_call: Callable[[str], Any], on_a_gpu: Callable[..., None], case: str, impl: str
) -> None:
    on_a_gpu(build_call(case), impl)
