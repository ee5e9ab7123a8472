"""What a figure was taken under: machine, versions, clocks, load. No paths, no user names."""

import importlib
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from evnas.measure.timing.cpu_limits import cpu_quota, governors, physical_cores
from evnas.words import counted

PACKAGES = (
    *("evnas", "torch", "triton", "numba", "timm", "numpy"),
    *("onnx", "onnxruntime", "openvino", "mamba_ssm"),
)
GPU_FIELDS = (
    "name",
    "uuid",
    "driver_version",
    "clocks.sm",
    "clocks.max.sm",
    "clocks.mem",
    "power.limit",
    "temperature.gpu",
    "utilization.gpu",
)


def environment() -> dict[str, Any]:
    """What does not change while a study runs; the content of `environment.json`."""
    return {
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": versions(),
        "cpu": cpu_facts(),
        "torch": torch_facts(),
        "gpus": gpu_facts(),
    }


def moment() -> dict[str, Any]:
    """What does change: load and clocks at this moment."""
    return {
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "cpu_mhz": cpu_mhz(),
        "gpus": gpu_facts(),
    }


def about_cpu(threads: int) -> list[str]:
    """Sentences about what makes the CPU's speed doubtful while nothing else disturbs it.

    Args:
        threads: that run a forward.
    """
    return sentences_about(
        threads=threads,
        quota=cpu_quota(),
        physical=physical_cores(),
        governors=governors(),
    )


def sentences_about(
    *, threads: int, quota: float | None, physical: int | None, governors: Sequence[str]
) -> list[str]:
    """See `about_cpu`; of what was read."""
    found = []
    if quota is not None and threads > quota:
        found.append(
            f"{threads} threads share a quota of {counted(quota, 'core', form='g')}, so they are "
            "stopped for a part of each period"
        )
    if physical is not None and threads > physical:
        cores = counted(physical, "core")
        found.append(f"{threads} threads share {cores}: some are siblings on one core")
    found += [
        f"the frequency governor is {name}, so the clock follows the load"
        for name in governors
        if name != "performance"
    ]
    return found


def versions() -> dict[str, str]:
    """Versions of the packages whose speed or figures show in a result."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def cpu_facts() -> dict[str, Any]:
    """Model, cores that this process may run on and how many are behind them, a container's
    quota, memory and the frequency governor."""
    return {
        "model": _proc_field("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "physical_cores": physical_cores(),
        "quota_cores": cpu_quota(),
        "governor": ", ".join(governors()),
        "mhz": cpu_mhz(),
    }


def torch_facts() -> dict[str, Any]:
    """Torch's settings that move a speed."""
    return {
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "cuda": torch.version.cuda or "",
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call] # torch's own
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def cpu_mhz() -> float | None:
    """The mean clock of the cores now; None where the machine does not tell."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    clocks = [float(line.split(":")[1]) for line in lines if line.startswith("cpu MHz")]
    return round(sum(clocks) / len(clocks), 1) if clocks else None


def gpu_facts() -> list[dict[str, str]]:
    """One dict of `GPU_FIELDS` for each NVIDIA GPU; empty where there is none."""
    return [
        dict(zip(GPU_FIELDS, row, strict=True)) for row in nvidia_smi("--query-gpu", GPU_FIELDS)
    ]


def gpu_state(uuid: str) -> tuple[list[int], int]:
    """Ids of the compute processes on a GPU, and NVML's mask of active throttle reasons (0: none,
    1: idle). Inside a container the ids may be those of the host.

    From NVML where its Python package (nvidia-ml-py) is installed: an answer takes microseconds,
    while each start of nvidia-smi leaves the GPU idle for long enough to change its clocks.
    """
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return _gpu_state_from_smi(uuid)
    try:
        nvml.nvmlInit()
        gpu = nvml.nvmlDeviceGetHandleByUUID(uuid)
        processes = [int(p.pid) for p in nvml.nvmlDeviceGetComputeRunningProcesses(gpu)]
        return processes, int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu))
    except nvml.NVMLError:
        return _gpu_state_from_smi(uuid)


def _gpu_state_from_smi(uuid: str) -> tuple[list[int], int]:
    rows = nvidia_smi("--query-compute-apps", ("pid",), uuid)
    processes = [int(pid) if pid.isdecimal() else -1 for (pid,) in rows]
    for field in ("clocks_event_reasons.active", "clocks_throttle_reasons.active"):  # new, old
        rows = nvidia_smi("--query-gpu", (field,), uuid)
        if rows and rows[0][0].startswith("0x"):
            return processes, int(rows[0][0], 16)
    return processes, 0


def nvidia_smi(query: str, fields: tuple[str, ...], uuid: str = "") -> list[list[str]]:
    """Rows that nvidia-smi prints; none where it is missing or fails."""
    command = ["nvidia-smi", f"{query}={','.join(fields)}", "--format=csv,noheader"]
    if uuid:
        command.append(f"--id={uuid}")
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()]
    return [row for row in rows if len(row) == len(fields)]


def _proc_field(path: str, name: str) -> str:
    for line in _read(Path(path)).splitlines():
        if line.startswith(name):
            return line.split(":", 1)[1].strip()
    return ""


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
