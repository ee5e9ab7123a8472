"""What `evnas doctor` finds: devices, versions, kernels, runtimes and data on this machine."""

import importlib.util
from typing import Any

import torch

from evnas.commands.output import columns
from evnas.errors import DataError
from evnas.kernels.dispatch import (
    OPERATORS,
    implementations_by_shape,
    why_not_numba,
    why_not_triton,
)
from evnas.measure.timing.conditions import environment
from evnas.proxy import fashion
from evnas.registry import broken_plugins
from evnas.report.page.pictures import browser
from evnas.runtime import Runtime
from evnas.tables import RUNTIMES


def checkup() -> dict[str, Any]:
    """Everything, as plain data; `advice` says what could be better."""
    devices = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    found: dict[str, Any] = {
        "environment": environment(),
        "devices": devices,
        "kernels": {
            device: {op: implementations_by_shape(op, device) for op in OPERATORS}
            for device in devices
        },
        "runtimes": _runtimes(),
        "data": _data(),
        "browser": browser() or "",
    }
    return found | {"advice": _advice(found)}


def checkup_text(found: dict[str, Any]) -> str:
    """The same for a terminal."""
    machine = found["environment"]
    packages = [f"{name} {version}" for name, version in machine["packages"].items()]
    cpu = machine["cpu"]
    lines = [
        f"python {machine['python']}, {', '.join(packages)}",
        f"cpu: {cpu['model']}, {cpu['cores']} cores, {cpu['memory_gib']} GiB",
        *(f"gpu: {gpu['name']}, driver {gpu['driver_version']}" for gpu in machine["gpus"]),
    ]
    kernels = [
        (op, *(found["kernels"][device][op] for device in found["devices"])) for op in OPERATORS
    ]
    answers = [*found["runtimes"].items(), *found["data"].items()]
    return "\n\n".join(
        [
            "\n".join(lines),
            columns(("operator", *found["devices"]), kernels),
            columns(("runtime or data", "here"), answers),
        ]
    )


def _runtimes() -> dict[str, str]:
    here = {name: _why_not(runtime) for name, runtime in RUNTIMES.usable().items()}
    if torch.cuda.is_available() and importlib.util.find_spec("triton") is None:
        here["compile"] = "triton is not installed"
    return {name: f"no: {reason}" if reason else "yes" for name, reason in here.items()}


def _why_not(runtime: Runtime) -> str:
    if runtime.needs_cuda and not torch.cuda.is_available():
        return "no CUDA device"
    return f"{' and '.join(runtime.missing)} not installed" if runtime.missing else ""


def _data() -> dict[str, str]:
    full = "yes"
    try:
        fashion.full_set(fashion.full_set_folders())
    except DataError as e:
        full = f"no: {e}"
    shipped = "yes" if fashion.SHIPPED_FILE.exists() else "no: the installation lacks it"
    return {"fashion-mnist-12k": shipped, "fashion-mnist": full}


def _advice(found: dict[str, Any]) -> list[str]:
    advice = broken_plugins()
    for device in found["devices"][1:]:
        reason = why_not_triton(torch.device(device), torch.float32)
        if reason is not None:
            advice.append(f"{device} runs without the Triton kernels: {reason}")
    reason = why_not_numba(torch.device("cpu"), torch.float32)
    if reason is not None:
        advice.append(f"scans on the CPU run in plain torch, several times slower: {reason}")
    for name, runtime in RUNTIMES.usable().items():
        if runtime.missing and runtime.extra:
            advice.append(f"pip install 'evnas[{runtime.extra}]' adds the runtime {name}")
    if not found["browser"]:
        advice.append("with Chromium installed, reports also write PNG and SVG figures")
    return advice
