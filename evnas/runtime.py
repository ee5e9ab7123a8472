"""What a runtime is: a way to run a model on a target, by name in `evnas.tables.RUNTIMES`."""

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Precision = Literal["float32", "bfloat16", "float16"]
Form = Literal["plain", "deployed"]
Mode = Literal["inference", "training"]
Layout = Literal["contiguous", "channels_last"]
MemoryFormat = Literal["auto", Layout]
BatchSize = int | Literal["auto"]
"""Images at once; `auto` where a machine decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """One way to run a model. Its facts are known without loading torch."""

    prepare: str | Callable[..., Callable[[], object]]
    """A function, or its place `module:attribute`, of (model in evaluation mode, images
    (B, 3, H, W) on the target's device, `evnas.measure.target.Target`): gives the call that is
    timed, one forward, which returns when its result is there or queued on the device."""
    own_operators: bool = True
    """Whether it runs evnas' operators; else models are built of plain ones."""
    onnx_form: bool = False
    """Whether it runs a model as `evnas.measure.runtimes.onnx_export.export` writes it, in which
    evnas' operators have forms of their own."""
    tells_memory: bool = True
    """Whether a call's memory is torch's own, so that its peak can be read."""
    trains: bool = False
    """Whether a training step can be timed with it."""
    needs_cuda: bool = False
    form: Form = "plain"
    """What a target measures that names no form; an exporter's is `deployed`."""
    agreement: Literal["logits", "top1"] = "logits"
    """What of torch's answer it must give before its speed counts: the logits, within rounding;
    or, of weights in int8, the likeliest class, whose agreement is recorded."""
    calibrates: bool = False
    """Whether `prepare` takes a fourth argument, the `Pictures` to calibrate with."""
    chooses: bool = False
    """Whether it takes another runtime for each model, and runs none itself."""
    considered: bool = False
    """Whether `best` looks at it: it gives the model's own logits, ready within seconds."""
    packages: tuple[str, ...] = ()
    """What must be importable for it."""
    extra: str = ""
    """The extra of evnas that installs them."""
    install: str = ""
    """How else they are installed."""
    obstacle: str = ""
    """The place of a function that says what else keeps it from running here; "" is nothing."""

    def call(
        self, model: Any, images: Any, target: Any, pictures: "Pictures | None" = None
    ) -> Callable[[], object]:
        """The call that is timed."""
        prepare: Callable[..., Callable[[], object]]
        prepare = _at(self.prepare) if isinstance(self.prepare, str) else self.prepare
        more = (pictures,) if self.calibrates else ()
        return prepare(model, images, target, *more)

    @property
    def plain_operators(self) -> bool:
        """Whether models have to be built of plain operators for it."""
        return not self.own_operators and not self.onnx_form

    @property
    def missing(self) -> tuple[str, ...]:
        """Packages that are not installed here."""
        return tuple(name for name in self.packages if importlib.util.find_spec(name) is None)

    @property
    def mend(self) -> str:
        """How what is missing is installed; "" where nothing is known of that."""
        return f"pip install 'evnas[{self.extra}]'" if self.extra else self.install

    @property
    def why_not(self) -> str:
        """What keeps it from running on this machine, devices aside; "" where nothing does."""
        if self.missing:
            mend = f": {self.mend}" if self.mend else ""
            return f"{' and '.join(self.missing)} not installed{mend}"
        return str(_at(self.obstacle)()) if self.obstacle else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A call that is timed, with what its runtime says of it."""

    run: Callable[[], object]
    """One forward; gives the logits (B, classes) as a torch or NumPy tensor."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """For the record, as JSON: `threads`, `precision`, versions, settings."""
    load: Callable[[Any], None] | None = None
    """Puts other images, a torch tensor of the same shape and device, in the place of those it was
    made with; None where `run` reads the tensor it was made with, which is then written over."""

    def __call__(self) -> object:
        """One forward."""
        return self.run()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Images of a data set as the model would see them, float32 (N, 3, S, S), normalised."""

    name: str
    """Of the data set."""
    calibration: Any
    """Of its training split."""
    held_out: Any


def _at(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


TORCH = Runtime(prepare="evnas.measure.runtimes.torch_eager:eager", trains=True, considered=True)
COMPILE = Runtime(
    prepare="evnas.measure.runtimes.torch_compile:compiled",
    trains=True,
    obstacle="evnas.measure.runtimes.compiler:no_compiler",
)
INDUCTOR = Runtime(
    prepare="evnas.measure.runtimes.inductor:inductor",
    form="deployed",
    obstacle="evnas.measure.runtimes.compiler:no_compiler",
)
AOT_INDUCTOR = replace(INDUCTOR, prepare="evnas.measure.runtimes.inductor:aot_inductor")
CUDA_GRAPH = Runtime(
    prepare="evnas.measure.runtimes.cuda_graph:cuda_graph", needs_cuda=True, considered=True
)
ONNX = Runtime(
    prepare="evnas.measure.runtimes.onnx_runtime:onnx_runtime",
    own_operators=False,
    onnx_form=True,
    tells_memory=False,
    form="deployed",
    considered=True,
    packages=("onnx", "onnxruntime"),
    extra="onnx",
)
OPENVINO = replace(
    ONNX,
    prepare="evnas.measure.runtimes.openvino:openvino",
    packages=("onnx", "openvino"),
    extra="openvino",
)
OPENVINO_AUTO = replace(
    OPENVINO, prepare="evnas.measure.runtimes.openvino:openvino_auto", considered=False
)
ONNX_INT8 = replace(
    ONNX,
    prepare="evnas.measure.runtimes.onnx_int8:onnx_int8",
    agreement="top1",
    calibrates=True,
    considered=False,
)
ONNX_INT8_DYNAMIC = replace(
    ONNX_INT8, prepare="evnas.measure.runtimes.onnx_int8:onnx_int8_dynamic"
)
TENSORRT = Runtime(
    prepare="evnas.measure.runtimes.tensorrt:tensorrt",
    own_operators=False,
    onnx_form=True,
    tells_memory=False,
    needs_cuda=True,
    form="deployed",
    packages=("onnx", "tensorrt"),
    install="pip install onnx tensorrt",
)
EXECUTORCH = Runtime(
    prepare="evnas.measure.runtimes.executorch:executorch",
    own_operators=False,
    tells_memory=False,
    form="deployed",
    packages=("executorch",),
    install="pip install executorch",
)
COREML = replace(
    EXECUTORCH,
    prepare="evnas.measure.runtimes.coreml:coreml",
    packages=("coremltools",),
    install="pip install coremltools",
    obstacle="evnas.measure.runtimes.coreml:no_macos",
)
BEST = Runtime(prepare="evnas.measure.best:runs_nothing", form="deployed", chooses=True)
