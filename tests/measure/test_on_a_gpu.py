"""What runs on a GPU alone, against stand-ins for the driver: order of calls, units, fallbacks."""

import contextlib
import os
import sys
import types
from typing import Any

import pytest
import torch
from torch import nn
from torch._C._autograd import DeviceType

from evnas.errors import MeasurementError
from evnas.kernels import dispatch, nc_ssd
from evnas.kernels.autotune_table import CallShape
from evnas.measure import stopwatch
from evnas.measure.anatomy import torch_kernels
from evnas.measure.anatomy.torch_kernels import kernel_ns
from evnas.measure.runtimes.cuda_graph import cuda_graph
from evnas.measure.runtimes.inductor import aot_inductor
from evnas.measure.target import Target
from evnas.measure.timing import breakdown, device_lock, memory, speed
from evnas.measure.timing.conditions import gpu_state
from evnas.measure.timing.implementations import implementations
from evnas.measure.timing.noise_monitor import (
    GpuNoiseMonitor,
    foreign_processes,
    noise_monitor_for,
)
from evnas.measure.timing.profiling import profiled, raw_events
from evnas.runtime import Ready

UUID = "GPU-01234567-89ab-cdef-0123-456789abcdef"


class Driver:
    """Stands for `torch.cuda`: a stream whose work takes the time that calls add to `at_ms`."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.at_ms = 0.0
        self.current = "cuda:0"

    def install(self, monkeypatch: pytest.MonkeyPatch) -> "Driver":
        driver = self

        class Event:
            def __init__(self, enable_timing: bool) -> None:
                assert enable_timing

            def record(self, stream: object = None) -> None:
                self.at = driver.at_ms

            def elapsed_time(self, end: "Event") -> float:
                return end.at - self.at

        stand_ins = {
            "Event": Event,
            "Stream": lambda: Stream(self, self.current),
            "CUDAGraph": lambda: types.SimpleNamespace(replay=lambda: self.log.append("replay")),
            "device": self._on,
            "stream": lambda s: self._within("side stream"),
            "graph": lambda g, stream: self._within(f"capture on {stream.device}:"),
            "current_stream": lambda *d: Stream(self),
            "synchronize": lambda *d: self.log.append("synchronize"),
        }
        for name, stand_in in stand_ins.items():
            monkeypatch.setattr(torch.cuda, name, stand_in)
        return self

    @contextlib.contextmanager
    def _on(self, device: torch.device):
        before, self.current = self.current, str(device)
        yield
        self.current = before

    @contextlib.contextmanager
    def _within(self, what: str):
        self.log.append(f"{what} on")
        yield
        self.log.append(f"{what} off")


class Stream:
    def __init__(self, driver: Driver, device: str = "") -> None:
        self.driver, self.device = driver, device

    def wait_stream(self, other: "Stream") -> None:
        self.driver.log.append("wait")


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    return Driver().install(monkeypatch)


def test_the_stopwatch_reads_device_time_between_events_in_seconds(driver):
    def call() -> None:
        driver.log.append("call")
        driver.at_ms += 5.0

    watch = stopwatch.stopwatch_for("cuda:0")
    assert watch.time(call, 3) == pytest.approx(0.015)
    assert driver.log == ["synchronize", "call", "call", "call", "synchronize"]


def test_a_package_of_torchs_compiler_is_loaded_and_run_on_the_gpu_of_its_images(monkeypatch):
    went: list[object] = []

    @contextlib.contextmanager
    def on(index: int | None):
        went.append(index)
        yield

    def load(file: str, *, device_index: int):
        return lambda images: went.append(device_index)

    compiler: Any = torch._inductor
    monkeypatch.setattr(torch.export, "export", lambda *given: None)
    monkeypatch.setattr(compiler, "aoti_compile_and_package", lambda *a, **of: None)
    monkeypatch.setattr(compiler, "aoti_load_package", load)
    monkeypatch.setattr(torch.accelerator, "device_index", on)
    for device, expected in (("cuda:1", [1, 1]), ("cpu", [None, -1])):
        went.clear()
        images: Any = types.SimpleNamespace(device=torch.device(device))
        target = Target(device=device, runtime="aot_inductor", batch_size=1)
        aot_inductor(nn.Identity(), images, target).run()
        assert went == expected


def test_a_graph_is_captured_after_calls_on_a_side_stream_and_replayed(driver):
    read: list[torch.Tensor] = []

    class Noting(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            driver.log.append("forward")
            read.append(x)
            return x + 1

    target = Target(device="cuda:0", runtime="cuda_graph", batch_size=1)
    images = torch.zeros(2)
    call = cuda_graph(Noting(), images, target)
    warm = ["wait", "side stream on", *["forward"] * 3, "side stream off", "wait"]
    assert driver.log == [*warm, "capture on cpu: on", "forward", "capture on cpu: off"]
    driver.log.clear()
    result: Any = call()
    assert result.tolist() == [1.0, 1.0]
    assert driver.log == ["replay"]
    images.fill_(3.0)
    call()
    assert read[0].tolist() == [3.0, 3.0]  # what a replay reads is what the images hold now


def test_peak_memory_is_what_the_forward_adds(driver, monkeypatch):
    held = {"now": 100 * 2**20, "peak": 0}

    def call() -> None:
        held["peak"] = held["now"] + 7 * 2**20

    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda d: held.update(peak=0))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda d: held["now"])
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda d: held["peak"])
    assert memory._peak_cuda_bytes(call, torch.device("cuda")) == 7 * 2**20


def test_the_peak_of_a_graph_is_of_the_forward_that_it_replays(monkeypatch):
    seen = []

    def peak_mib(call, model, images):
        seen.append(call())
        return 1.0

    monkeypatch.setattr(speed, "peak_mib", peak_mib)
    target = Target(device="cuda:0", runtime="cuda_graph", batch_size=1)
    subject = speed.TimedModel(nn.Identity(), torch.ones(1), lambda: "replayed", target)
    assert speed._peak(subject) == 1.0
    assert torch.equal(seen[0], torch.ones(1))


def properties(monkeypatch: pytest.MonkeyPatch) -> None:
    found = types.SimpleNamespace(uuid=UUID.removeprefix("GPU-"))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: found)


def test_a_card_has_one_lane_and_its_own_watch(monkeypatch, tmp_path):
    properties(monkeypatch)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert device_lock.device_lock_for("cuda:0").device_id == UUID.replace("GPU", "gpu")
    assert noise_monitor_for("cuda:0") == GpuNoiseMonitor(UUID)


OTHERS = [2**22 + n for n in range(3)]
"""Ids that no process has here."""


def nvml(monkeypatch: pytest.MonkeyPatch, *, processes: list[int], throttle: int) -> None:
    class Nvml(types.ModuleType):
        NVMLError = OSError

        def nvmlInit(self) -> None: ...

        def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
            assert uuid == UUID
            return "handle"

        def nvmlDeviceGetComputeRunningProcesses(self, gpu: str) -> list[Any]:
            return [types.SimpleNamespace(pid=pid) for pid in processes]

        def nvmlDeviceGetCurrentClocksThrottleReasons(self, gpu: str) -> int:
            return throttle

    monkeypatch.setitem(sys.modules, "pynvml", Nvml("pynvml"))


@pytest.mark.parametrize(
    ("processes", "throttle", "why"),
    [
        ([], 0x0, ""),  # some containers show no process, not even this one
        (OTHERS[:1], 0x1 | 0x4, ""),  # at rest, or at the card's own power cap
        (OTHERS, 0x0, "2 foreign processes on the GPU"),  # one of them is this one
        ([os.getpid(), *OTHERS[:1]], 0x0, "1 foreign processes on the GPU"),
        (OTHERS[:1], 0x20 | 0x4, "the GPU throttled (reasons 0x20)"),
    ],
)
def test_a_round_on_a_gpu_is_spoiled_by_others_and_by_heat(
    monkeypatch, tmp_path, processes, throttle, why
):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    nvml(monkeypatch, processes=[os.getpid()], throttle=0)
    watch = GpuNoiseMonitor(UUID)
    before = watch.read()
    nvml(monkeypatch, processes=processes, throttle=throttle)
    assert watch.spoiled(before, watch.read()) == why


def test_another_worker_of_ours_is_not_foreign():
    me, worker, stranger = os.getpid(), *OTHERS[:2]
    assert foreign_processes([me, worker], {me, worker}) == 0
    assert foreign_processes([me, worker, stranger], {me, worker}) == 1
    assert foreign_processes([me, stranger], {me, worker}) == 1  # the worker has left the GPU
    host_ids = [OTHERS[2], OTHERS[2] + 1, OTHERS[2] + 2]  # of a container
    assert foreign_processes(host_ids, {me, worker}) == 1
    assert foreign_processes(host_ids[:1], {me, worker}) == 0


def test_a_model_is_made_ready_beside_no_measurement(driver, monkeypatch, tmp_path):
    """The first forward, which compiles, is within the lane, and its kernels have ended there."""
    lock = device_lock.DeviceLock("gpu-made-up", tmp_path)

    def measured_meanwhile() -> bool:
        with pytest.raises(MeasurementError), lock.measuring(timeout_s=0.0):
            pass
        return True

    def ready_call(model: object, images: object, target: object, pictures: object) -> Any:
        driver.log.append(f"kept out: {measured_meanwhile()}")
        return Ready(run=lambda: driver.log.append("forward"))

    monkeypatch.setattr(speed, "ready_call", ready_call)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device: tensor)
    target = Target(device="cuda:0", batch_size=1, resolution=4)
    speed.prepare(nn.Identity(), target, device_lock=lock)
    assert driver.log == ["kept out: True", "forward", "synchronize"]
    with lock.measuring(timeout_s=0.0):
        pass


def event(
    name: str, own_id: int = 0, by: int = 0, ns: int = 0, *, on_gpu: bool = True, at: int = 0
) -> Any:
    """Stands for an event of torch's profiler."""
    return types.SimpleNamespace(
        start_ns=lambda: at,
        end_ns=lambda: at + ns,
        name=lambda: name,
        correlation_id=lambda: own_id,
        linked_correlation_id=lambda: by,
        duration_ns=lambda: ns,
        device_type=lambda: DeviceType.CUDA if on_gpu else DeviceType.CPU,
        is_user_annotation=lambda: name == "ProfilerStep",
    )


EVENTS = [
    event("aten::mm", 1, on_gpu=False),
    event("evnas::ss2d_scan", 2, on_gpu=False),
    event("cudaLaunchKernel", 7, by=1, on_gpu=False),
    event("sm90_gemm", 7, by=1, ns=300),
    event("_scan_fwd", 8, by=2, ns=500),
    event("_scan_fwd", 9, by=2, ns=100),
    event("Memcpy DtoD", 10, ns=100),
    event("ProfilerStep", 11, ns=1000),
]


def test_what_a_gpu_ran_is_counted_once_and_to_its_operator(monkeypatch):
    monkeypatch.setattr(breakdown, "profiled", lambda *_, **__: None)
    monkeypatch.setattr(breakdown, "raw_events", lambda _: EVENTS)
    shares = breakdown._operator_shares(lambda: None, torch.device("cuda"))
    assert shares == pytest.approx({"scan": 0.6, "matmul": 0.3, "rest": 0.1})


RANGES = [
    event("evnas operator 0", 1, ns=50, at=100, on_gpu=False),
    event("aten::conv2d", 2, ns=40, at=105, on_gpu=False),
    event("aten::cudnn_convolution", 3, ns=30, at=110, on_gpu=False),  # inside of the other
    event("cudaLaunchKernel", 20, by=3, ns=5, at=120, on_gpu=False),
    event("sm90_conv", 20, by=3, ns=400, at=900),
    event("nchwToNhwc", 21, by=2, ns=100, at=800),
    event("evnas operator 0", 22, ns=500, at=800),  # the range as the GPU has it
    event("evnas operator 1", 4, ns=50, at=200, on_gpu=False),
    event("evnas::ss2d_scan", 5, ns=40, at=205, on_gpu=False),
    event("_scan_fwd", 23, by=5, ns=700, at=1400),
    event("aten::copy_", 6, ns=20, at=300, on_gpu=False),  # between two operators
    event("Memcpy DtoD", 24, by=6, ns=60, at=2200),
    event("graph", 25, ns=60, at=2300),  # nobody's
]


def test_an_operator_takes_what_the_gpu_ran_for_it_once():
    assert kernel_ns(RANGES) == {0: 500, 1: 700}


def test_a_forward_on_a_gpu_is_taken_apart_by_its_kernels(driver, monkeypatch):
    """On this CPU with torch's own events, each innermost operator having started one kernel."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()).eval()
    kernels: list[Any] = []

    def events_of(profile: Any) -> list[Any]:
        found = raw_events(profile)
        inner = [e for e in found if e.name() in ("aten::clamp_min", "aten::convolution")]
        assert len(inner) == 2
        started = [event("kernel", 90, by=e.correlation_id(), ns=2_000_000) for e in inner]
        kernels.extend(started)
        return [*found, *started]

    def on_cpu(call: Any, *, cuda: bool, memory: bool) -> Any:
        assert cuda
        return profiled(call, cuda=False, memory=memory)

    monkeypatch.setattr(torch_kernels, "profiled", on_cpu)
    monkeypatch.setattr(torch_kernels, "raw_events", events_of)
    images = torch.randn(1, 3, 8, 8)

    def call() -> object:
        with torch.inference_mode():
            return model(images)

    convolution, relu = torch_kernels.operator_times(call, model)
    assert (convolution.operator, convolution.ms) == ("Conv", 2.0)
    assert (relu.name.rpartition("/")[0], relu.ms) == ("/1", 2.0)
    assert len(kernels) == 2


SMI = """#!/bin/sh
case "$*" in
*compute-apps*) printf '11\\n12\\n';;
*FIELD*) echo 0x0000000000000040;;
*) echo "Field is not a valid field to query." >&2; exit 2;;
esac
"""


@pytest.mark.parametrize("field", ["clocks_event_reasons", "clocks_throttle_reasons"])
def test_without_nvml_nvidia_smi_tells(monkeypatch, tmp_path, field):
    smi = tmp_path / "nvidia-smi"
    smi.write_text(SMI.replace("FIELD", field))
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert gpu_state(UUID) == ([11, 12], 0x40)


def test_the_record_says_which_implementations_ran_at_which_sizes(monkeypatch):
    def chosen(name: str, device: object, dtype: torch.dtype, *, work: CallShape) -> str:
        return "triton" if work.elements >= 2 * 8 * 9 else "cpu"

    class Mixers(nn.Module):
        sides: tuple[int, ...]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for side in self.sides:
                v = torch.ones(len(x), 8, side)
                one, tokens = torch.ones(1), torch.ones(len(x), 1, side)
                nc_ssd(v, tokens, one, tokens, tokens, one, heads=1)
            return x

    monkeypatch.setattr(dispatch, "implementation_in_use", chosen)
    model = Mixers()
    images = torch.zeros(2, 3, 4, 4)
    for sides, ran in (((9,), "triton"), ((4,), "cpu"), ((9, 4), "cpu+triton")):
        model.sides = sides
        assert implementations(model, images) == {"nc_ssd": ran}
