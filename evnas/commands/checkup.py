"""What `evnas doctor` finds: devices, versions, kernels, runtimes and data on this machine."""

import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from evnas.arch.catalog import entry
from evnas.commands.output import columns, talk
from evnas.errors import DataError
from evnas.kernels.dispatch import (
    OPERATORS,
    implementations_by_shape,
    why_not_numba,
    why_not_triton,
)
from evnas.measure.ranking import considered, ranked
from evnas.measure.stopwatch import stopwatch_for
from evnas.measure.target import Target
from evnas.measure.timing.conditions import about_cpu, environment
from evnas.measure.timing.device_lock import device_lock_for
from evnas.measure.timing.energy import why_no_energy
from evnas.measure.timing.priority import RealTime
from evnas.measure.timing.speed import prepare
from evnas.phases.speed import model_on
from evnas.proxy import fashion
from evnas.registry import broken_plugins
from evnas.report.page.pictures import browser
from evnas.runtime import Runtime
from evnas.tables import RUNTIMES
from evnas.words import counted

RANKED_MODEL = "efficientvim_m1"
RANKED_SIDE = 224


def checkup() -> dict[str, Any]:
    """Everything, as plain data; `advice` says what could be better."""
    devices = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    found: dict[str, Any] = {
        "environment": environment(),
        "cpu_doubts": about_cpu(torch.get_num_threads()),
        "no_precedence": RealTime().why_not(),
        "devices": devices,
        "kernels": {
            device: {op: implementations_by_shape(op, device) for op in OPERATORS}
            for device in devices
        },
        "runtimes": _runtimes(),
        "energy": {device: why_no_energy(device) for device in devices},
        "ranking": {device: ranking(device) for device in devices},
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
        f"cpu: {cpu['model']}, {counted(cpu['cores'], 'core')}, {cpu['memory_gib']} GiB"
        f"{_limits(cpu)}",
        *(f"cpu: {doubt}" for doubt in found["cpu_doubts"]),
        f"rounds that others disturb: {_precedence(found['no_precedence'])}",
        *(f"gpu: {gpu['name']}, driver {gpu['driver_version']}" for gpu in machine["gpus"]),
        *(f"energy of {on}: {why or 'is counted'}" for on, why in found["energy"].items()),
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
            *(_ranking_text(device, places) for device, places in found["ranking"].items()),
        ]
    )


def _precedence(why_not: str) -> str:
    """What a measurement on the CPU does about others that take its cores."""
    return f"taken again, beside them: {why_not}" if why_not else "run before them (SCHED_RR)"


def _limits(cpu: Mapping[str, Any]) -> str:
    """What else decides the CPU's speed, as far as the machine tells it."""
    quota, governor = cpu.get("quota_cores"), cpu.get("governor")
    found = f", a quota of {counted(quota, 'core', form='g')}" if quota is not None else ""
    return found + (f", governor {governor}" if governor else "")


def ranking(device: str) -> list[dict[str, Any]]:
    """Places of the runtimes that are ready within seconds, fastest first, on `RANKED_MODEL`."""
    target = Target(device=device, resolution=RANKED_SIDE, batch_size=1)
    arch = entry(RANKED_MODEL).arch.to_dict()
    names = considered(device)
    forms = [replace(target, runtime=name, form="deployed") for name in names]
    with device_lock_for(device, talk).measuring(float("inf")):
        places = ranked(
            [target, *forms],
            lambda on: prepare(model_on(arch, on), on),
            stopwatch=stopwatch_for(device),
            most_s=2.0,
        )
    return [place.to_dict() for place in places]


def _ranking_text(device: str, places: list[dict[str, Any]]) -> str:
    """A line a runtime; those that were refused say why."""
    ran = [place for place in places if "latency_ms" in place]
    rows = [
        (
            f"{place['runtime']}, {place['form']}",
            f"{place['latency_ms']:.1f} ms",
            f"{place['latency_ms'] / ran[0]['latency_ms']:.2f}",
            f"{place['prepare_s']:.1f} s",
            f"{place['precision']}, {counted(place['threads'], 'thread')}",
        )
        for place in ran
    ]
    head = (
        f"{RANKED_MODEL} on {device}",
        "one image, least",
        "of the best",
        "made ready in",
        "with",
    )
    refused = [
        f"{place['runtime']} on {device}: {place['refused']}"
        for place in places
        if "refused" in place
    ]
    return "\n".join([columns(head, rows), *refused])


def _runtimes() -> dict[str, str]:
    here = {name: _why_not(runtime) for name, runtime in RUNTIMES.usable().items()}
    if torch.cuda.is_available() and importlib.util.find_spec("triton") is None:
        here["compile"] = "triton is not installed"
    return {name: f"no: {reason}" if reason else "yes" for name, reason in here.items()}


def _why_not(runtime: Runtime) -> str:
    if runtime.needs_cuda and not torch.cuda.is_available():
        return "no CUDA device"
    return runtime.why_not


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
    adds: dict[str, list[str]] = {}
    for name, runtime in RUNTIMES.usable().items():
        if runtime.missing and runtime.mend:
            adds.setdefault(runtime.mend, []).append(name)
    advice += [f"{mend} adds the runtime {', '.join(names)}" for mend, names in adds.items()]
    if not found["browser"]:
        advice.append("with Chromium installed, reports also write PNG and SVG figures")
    return advice
