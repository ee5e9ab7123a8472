"""Stand-ins for packages that this machine lacks, whose engines other libraries compute."""

import contextlib
import ctypes
import enum
import sys
import types
from collections.abc import Iterator, Mapping
from importlib.machinery import ModuleSpec
from typing import Any

import numpy as np
import pytest
import torch


class MadeUpPackage(types.ModuleType):
    """What can be imported, and is found as installed."""

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """For one test."""
        self.__spec__ = ModuleSpec(self.__name__, None)
        monkeypatch.setitem(sys.modules, self.__name__, self)


class Severity:
    ERROR = 1

    def __init__(self, severity: int) -> None:
        assert severity == self.ERROR


class NetworkFlag(enum.IntEnum):
    STRONGLY_TYPED = 1


class BuilderFlag(enum.Enum):
    """Of version 11, which has no precisions."""

    TF32 = 6


class TensorRT(MadeUpPackage):
    """TensorRT 11 on this CPU: ONNX Runtime computes, from one address to another."""

    __version__ = "11.4.0"
    Logger = Severity
    NetworkDefinitionCreationFlag = NetworkFlag
    BuilderFlag = BuilderFlag

    def __init__(self, *, fails_to: str = "", off_by: float = 1.0) -> None:
        super().__init__("tensorrt")
        self.fails_to = fails_to
        """`parse`, `build`, `read`, `fit`, `place` or `queue`."""
        self.off_by = off_by
        self.graph = b""
        self.cleared: list[BuilderFlag] = []
        self.current: torch.device | None = None
        """The GPU that calls go to, where one was made the current one."""

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """With a CUDA device's streams, whose work is done at once."""
        super().install(monkeypatch)
        for name in ("Stream", "current_stream"):
            monkeypatch.setattr(torch.cuda, name, lambda *of: Stream())
        monkeypatch.setattr(torch.cuda, "device", self._on)

    @contextlib.contextmanager
    def _on(self, device: torch.device) -> Iterator[None]:
        before, self.current = self.current, device
        yield
        self.current = before

    def answer(self, step: str, given: Any) -> Any:
        """What it gives, or what it gives where the step fails."""
        failed = False if isinstance(given, bool) else None
        return failed if self.fails_to == step else given

    def Builder(self, logger: Severity) -> Any:
        config = types.SimpleNamespace(clear_flag=self.cleared.append)
        return types.SimpleNamespace(
            create_network=self._network,
            create_builder_config=lambda: config,
            build_serialized_network=lambda network, config: self.answer("build", self.graph),
        )

    def _network(self, flags: int) -> object:
        assert flags == 1 << NetworkFlag.STRONGLY_TYPED
        return object()

    def OnnxParser(self, network: object, logger: Severity) -> Any:
        def parse(graph: bytes) -> bool:
            self.graph = graph
            return bool(self.answer("parse", True))

        fault = types.SimpleNamespace(desc=lambda: "No importer for Scan")
        return types.SimpleNamespace(parse=parse, num_errors=1, get_error=lambda at: fault)

    def Runtime(self, logger: Severity) -> Any:
        engine = types.SimpleNamespace(
            create_execution_context=lambda: self.answer("fit", Context(self))
        )
        return types.SimpleNamespace(
            deserialize_cuda_engine=lambda graph: self.answer("read", engine)
        )


class Stream:
    """Has done all its work."""

    cuda_stream = 7

    def wait_stream(self, other: "Stream") -> None: ...


class Context:
    """Reads and writes memory at the addresses that it was told."""

    def __init__(self, package: TensorRT) -> None:
        import onnxruntime

        self._package = package
        self._session = onnxruntime.InferenceSession(
            package.graph, providers=["CPUExecutionProvider"]
        )
        (self._given,), (self._made,) = self._session.get_inputs(), self._session.get_outputs()
        self._at: dict[str, int] = {}

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        assert (name, self._made.type) == (self._made.name, "tensor(float)")
        return tuple(self._made.shape)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._at[name] = address
        return bool(self._package.answer("place", True))

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == Stream.cuda_stream
        assert self._package.current is not None  # CUDA refuses a stream of another GPU
        fed = {self._given.name: self._memory(self._given)}
        (logits,) = self._session.run(None, fed)
        self._memory(self._made)[...] = logits * self._package.off_by
        return bool(self._package.answer("queue", True))

    def _memory(self, tensor: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        size = int(np.prod(tensor.shape))
        place = (ctypes.c_float * size).from_address(self._at[tensor.name])
        return np.ctypeslib.as_array(place).reshape(tensor.shape)


class CoreML(MadeUpPackage):
    """coremltools on this CPU: what was exported computes in place of what it is converted to."""

    __version__ = "9.0"
    precision = types.SimpleNamespace(FLOAT32="float32", FLOAT16="float16")
    ComputeUnit = types.SimpleNamespace(ALL="all")
    TensorType = types.SimpleNamespace

    def __init__(self, *, lacks: str = "") -> None:
        super().__init__("coremltools")
        self.lacks = lacks
        """An operator that it cannot convert."""
        self.graph = ""
        self.asked: dict[str, Any] = {}

    def convert(self, program: Any, *, inputs: list[Any], outputs: list[Any], **more: Any) -> Any:
        if self.lacks:
            raise NotImplementedError(
                f"PyTorch convert function for op '{self.lacks}' not implemented.\nAnd more."
            )
        self.graph, self.asked = str(program.graph), more
        compute = program.module()
        (images,), (logits,) = inputs, outputs

        def predict(fed: Mapping[str, Any]) -> dict[str, Any]:
            given = fed[images.name]
            assert given.shape == images.shape and given.dtype == np.float32
            return {logits.name: compute(torch.from_numpy(given)).detach().numpy()}

        return types.SimpleNamespace(predict=predict)
