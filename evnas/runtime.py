"""What a runtime is: a way to run a model on a target, by name in `evnas.tables.RUNTIMES`."""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """One way to run a model. Its facts are known without loading torch."""

    prepare: str | Callable[..., Callable[[], object]]
    """A function, or its place `module:attribute`, of (model in evaluation mode, images
    (B, 3, H, W) on the target's device, `evnas.measure.target.Target`): gives the call that is
    timed, one forward, which returns when its result is there or queued on the device."""
    own_operators: bool = True
    """Whether it runs evnas' operators; else models are built of plain ones."""
    trains: bool = False
    """Whether a training step can be timed with it."""
    needs_cuda: bool = False
    packages: tuple[str, ...] = ()
    """What must be importable for it."""
    extra: str = ""
    """The extra of evnas that installs them."""

    def call(self, model: Any, images: Any, target: Any) -> Callable[[], object]:
        """The call that is timed."""
        if not isinstance(self.prepare, str):
            return self.prepare(model, images, target)
        module, _, attribute = self.prepare.partition(":")
        prepare: Callable[..., Callable[[], object]]
        prepare = getattr(importlib.import_module(module), attribute)
        return prepare(model, images, target)

    @property
    def missing(self) -> tuple[str, ...]:
        """Packages that are not installed here."""
        return tuple(name for name in self.packages if importlib.util.find_spec(name) is None)


TORCH = Runtime(prepare="evnas.measure.runtimes.torch_eager:eager", trains=True)
COMPILE = Runtime(prepare="evnas.measure.runtimes.torch_compile:compiled", trains=True)
CUDA_GRAPH = Runtime(prepare="evnas.measure.runtimes.cuda_graph:cuda_graph", needs_cuda=True)
ONNX = Runtime(
    prepare="evnas.measure.runtimes.onnx_runtime:onnx_runtime",
    own_operators=False,
    packages=("onnx", "onnxruntime"),
    extra="onnx",
)
