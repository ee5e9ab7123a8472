"""The ways that `models.py` runs a model: our forms, their peers, and training steps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from unittest import mock

import timm
import torch
from cuda_scan import selective_scan
from kernel_cases import cross_scan_around
from model_launches import by_kernels
from timm.utils.model import reparameterize_model
from torch import Tensor, nn

from evnas.arch.catalog import entry
from evnas.blocks.backbone import build
from evnas.blocks.deploy import deploy
from evnas.errors import MeasurementError
from evnas.kernels import Impl
from evnas.kernels.ss2d_scan.low_rank import step_sizes
from evnas.measure.runtimes.cuda_graph import cuda_graph
from evnas.measure.runtimes.onnx_runtime import onnx_runtime
from evnas.measure.stopwatch import Call
from evnas.measure.target import Target
from evnas.mixers.ss2d import module as ss2d
from evnas.runtime import Ready
from evnas.tables import RUNTIMES


@dataclass(frozen=True, slots=True)
class Case:
    """One model on one shape."""

    model: str
    batch: int
    resolution: int
    precision: str
    device: str

    @property
    def id(self) -> str:
        """`efficientvim_m2-b16-224-float32-cpu`."""
        return f"{self.model}-b{self.batch}-{self.resolution}-{self.precision}-{self.device}"

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and images: no autocast, which would cast weights in every forward."""
        dtype: torch.dtype = getattr(torch, self.precision)
        return dtype

    def images(self) -> Tensor:
        """Standard normal, (B, 3, S, S), float32."""
        generator = torch.Generator().manual_seed(0)
        shape = (self.batch, 3, self.resolution, self.resolution)
        return torch.randn(shape, generator=generator).to(self.device)


@dataclass(frozen=True, slots=True)
class Form:
    """A model and one call of it."""

    model: nn.Module
    call: Call
    counts_traffic: bool = False
    """Whether its operators can be watched one by one."""


def made(name: str, case: Case, images: Tensor) -> Form | None:
    """A form by name; None where it does not exist for the case."""
    return {**FORMS, **PEERS, **TRAINING}[name](case, images)


def _plain_model(case: Case, impl: Impl = "auto") -> nn.Module:
    return build(entry(case.model).arch, seed=0, impl=impl).to(case.device)


def _plain(case: Case, images: Tensor) -> Form:
    model = _plain_model(case).eval().to(case.dtype)
    return Form(model, _forward(model, images.to(case.dtype)), counts_traffic=True)


def _plain_reference(case: Case, images: Tensor) -> Form | None:
    """Plain torch throughout; where that loops over L it tells nothing and takes minutes."""
    if case.model.startswith(("vmamba", "efficient_vmamba")):
        return None
    model = _plain_model(case, "reference").eval().to(case.dtype)
    return Form(model, _forward(model, images.to(case.dtype)))


def _reference_compiled(case: Case, images: Tensor) -> Form | None:
    plain = _plain_reference(case, images)
    if plain is None:
        return None
    return Form(plain.model, _forward(_compiled(plain.model, case), images.to(case.dtype)))


def _plain_mamba(case: Case, images: Tensor) -> Form | None:
    """SS2D by mamba_ssm's CUDA scan, with cross-scan and cross-merge, in the plain model."""
    if not case.model.startswith("vmamba"):
        return None
    selective_scan_fn = selective_scan()
    if isinstance(selective_scan_fn, str):
        raise MeasurementError(selective_scan_fn)
    around, plain = cross_scan_around(selective_scan_fn), _plain(case, images)

    def scan_of_factors(*tensors: Tensor, scan: str, step: int = 1, impl: str = "auto") -> Tensor:
        u, low, dt_weight, *rest = tensors
        A, D, bias = (rest[i].float() for i in (0, 3, 4))  # as that kernel asks
        mixed: Tensor = around(u, step_sizes(low, dt_weight), A, rest[1], rest[2], D, bias)
        return mixed

    def call() -> object:
        with mock.patch.object(ss2d, "ss2d_scan_low_rank", scan_of_factors):
            return plain.call()

    return Form(plain.model, call)


def _plain_compiled(case: Case, images: Tensor) -> Form:
    model = _plain_model(case).eval().to(case.dtype)
    return Form(model, _forward(_compiled(model, case), images.to(case.dtype)))


def _deployed_model(case: Case) -> nn.Module:
    return deploy(_plain_model(case), dtype=case.dtype)


def _deployed(case: Case, images: Tensor) -> Form:
    model = _deployed_model(case)
    return Form(model, _forward(model, images.to(case.dtype)), counts_traffic=True)


def _deployed_channels_last(case: Case, images: Tensor) -> Form | None:
    if case.device == "cpu":
        return None  # that is what deployed means there
    model = deploy(_plain_model(case), dtype=case.dtype, layout="channels_last")
    return Form(model, _forward(model, images.to(case.dtype)), counts_traffic=True)


def _deployed_kernels_graph(case: Case, images: Tensor) -> Form | None:
    if case.device == "cpu":
        return None
    return _graph(by_kernels(_deployed_model(case)), case, images)


def _deployed_channels_last_kernels_graph(case: Case, images: Tensor) -> Form | None:
    plain = _deployed_channels_last(case, images)
    return None if plain is None else _graph(by_kernels(plain.model), case, images)


def _deployed_compiled(case: Case, images: Tensor) -> Form:
    model = _deployed_model(case)
    return Form(model, _forward(_compiled(model, case), images.to(case.dtype)))


def _deployed_graph(case: Case, images: Tensor) -> Form | None:
    return None if case.device == "cpu" else _graph(_deployed_model(case), case, images)


def _deployed_channels_last_graph(case: Case, images: Tensor) -> Form | None:
    plain = _deployed_channels_last(case, images)
    return None if plain is None else _graph(plain.model, case, images)


def _graph(model: nn.Module, case: Case, images: Tensor) -> Form:
    target = Target(
        device=case.device,
        runtime="cuda_graph",
        resolution=case.resolution,
        batch_size=case.batch,
        form="deployed",
    )
    return Form(model, cuda_graph(model, images.to(case.dtype), target))


def _deployed_package(case: Case, images: Tensor) -> Form | None:
    return _by_runtime(case, images, "aot_inductor")


def _openvino(case: Case, images: Tensor) -> Form | None:
    return _by_runtime(case, images, "openvino")


def _by_runtime(case: Case, images: Tensor, runtime: str) -> Form | None:
    """The deployed form by one of evnas' runtimes for CPUs."""
    if case.device != "cpu" or case.precision != "float32" or RUNTIMES.get(runtime).why_not:
        return None
    model = _deployed_model(case)
    target = Target(
        device="cpu",
        runtime=runtime,
        resolution=case.resolution,
        batch_size=case.batch,
        form="deployed",
    )
    call = RUNTIMES.get(runtime).call(model, images, target)
    return Form(model, call.run if isinstance(call, Ready) else call)


def _timm(case: Case, images: Tensor) -> Form | None:
    if not timm.is_model(case.model):
        return None
    model = timm.create_model(case.model).eval().to(case.device, case.dtype)
    return Form(model, _forward(model, images.to(case.dtype)), counts_traffic=True)


def _timm_fused(case: Case, images: Tensor) -> Form | None:
    if not timm.is_model(case.model):
        return None
    model = reparameterize_model(timm.create_model(case.model).eval())
    model = model.to(case.device, case.dtype).to(memory_format=torch.channels_last)
    images = images.to(case.dtype).contiguous(memory_format=torch.channels_last)
    return Form(model, _forward(model, images), counts_traffic=True)


def _onnx(case: Case, images: Tensor) -> Form | None:
    """A plain export of timm's model, where it has one: ours calls operators ONNX lacks."""
    if case.device != "cpu" or case.precision != "float32" or not timm.is_model(case.model):
        return None
    model = timm.create_model(case.model).eval()
    target = Target(
        device="cpu", runtime="onnx", resolution=case.resolution, batch_size=case.batch
    )
    return Form(model, onnx_runtime(model, images, target))


def _step_kernels(case: Case, images: Tensor) -> Form:
    model = _plain_model(case)
    return Form(model, _step(model, model, images, case))


def _step_reference(case: Case, images: Tensor) -> Form:
    model = _plain_model(case, "reference")
    return Form(model, _step(model, model, images, case))


def _step_compiled(case: Case, images: Tensor) -> Form:
    model = _plain_model(case)
    return Form(model, _step(torch.compile(model, dynamic=False), model, images, case))


def _forward(model: Callable[[Tensor], object], images: Tensor) -> Call:
    def call() -> object:
        with torch.inference_mode():
            return model(images)

    return call


def _step(run: Callable[[Tensor], Tensor], model: nn.Module, images: Tensor, case: Case) -> Call:
    """Forward and backward of float32 weights, under autocast below float32.

    It leaves no gradients: a profiler takes the release of what it did not see made for less.
    """
    mixed = case.dtype != torch.float32

    def call() -> object:
        with torch.autocast(images.device.type, case.dtype if mixed else None, enabled=mixed):
            loss = run(images).float().square().mean()
        loss.backward()
        model.zero_grad(set_to_none=True)
        return loss.detach()

    return call


def _compiled(model: nn.Module, case: Case) -> Callable[[Tensor], object]:
    mode = "max-autotune" if case.device != "cpu" else "default"
    return torch.compile(model, dynamic=False, mode=mode)


Maker = Callable[[Case, Tensor], Form | None]
FORMS: Mapping[str, Maker] = {
    "deployed": _deployed,
    "deployed+nhwc": _deployed_channels_last,
    "deployed+compile": _deployed_compiled,
    "deployed+graph": _deployed_graph,
    "deployed+nhwc+graph": _deployed_channels_last_graph,
    "deployed+kernels+graph": _deployed_kernels_graph,
    "deployed+nhwc+kernels+graph": _deployed_channels_last_kernels_graph,
    "deployed+package": _deployed_package,
}
PEERS: Mapping[str, Maker] = {
    "eager": _plain,
    "eager+reference": _plain_reference,
    "eager+mamba_ssm": _plain_mamba,
    "compile": _plain_compiled,
    "compile+reference": _reference_compiled,
    "timm": _timm,
    "timm+fused": _timm_fused,
    "timm+onnxruntime": _onnx,
    "openvino": _openvino,
}
TRAINING: Mapping[str, Maker] = {
    "kernels": _step_kernels,
    "reference": _step_reference,
    "kernels+compile": _step_compiled,
}
