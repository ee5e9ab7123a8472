"""Everything that waits for a GPU, in the order of what it is worth, in calls of limited time.

    python benchmarks/gpu.py [--seconds 540] [--out results/reference] [--only targets]

Operators' tests on the GPU; the targets' figures; depthwise convolutions; Table C's throughput and
its proxies, and their audit; then every shape and model. What is done is noted in `gpu_steps.json`
beside the figures, and a step that the time cuts off goes on in the next call, which is the same
command: run it until it says that all is done.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from sheet import OUT_OF_TIME

HERE = Path(__file__).parent
LEAST_S = 30
"""A step with less time left is for the next call."""
STOPPING_S = 20
"""What a step that keeps to a time itself gets beyond it, for the line under way."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command, which goes on where it was cut off."""

    name: str
    command: Sequence[str]
    keeps_time: bool = False
    """Whether it takes `--seconds`; else it is stopped, and has to start again by itself."""


def steps(out: Path, sweep: Path, results: Path) -> list[Step]:
    """All of them, first what matters most."""
    python = sys.executable
    evnas = (python, "-m", "evnas.cli")

    def benchmark(name: str, suffix: str, *options: str) -> tuple[str, ...]:
        written = ("--device", "cuda", "--out", str(out), "--suffix", suffix, "--resume")
        return (python, str(HERE / f"{name}.py"), *written, *options)

    tests = (python, "-m", "pytest", "-q", "-n", "8", "tests/kernels")
    return [
        Step("operators' tests", tests),
        Step("kernel targets", benchmark("kernels", "_targets", "--targets"), True),
        Step(
            "model targets",
            benchmark("models", "_targets", "--targets", "--budget-s", "4"),
            True,
        ),
        Step("depthwise", benchmark("depthwise", "", "--budget-s", "2"), True),
        Step("Table C", (*evnas, "sweep", str(sweep), "--results", str(results))),
        Step("audit", (*evnas, "audit", str(results / sweep.stem), "--json")),
        Step("every kernel", benchmark("kernels", "", "--write-choices"), True),
        Step("every model", benchmark("models", "", "--budget-s", "4"), True),
    ]


def main() -> int:
    """Run what is left, as far as the time goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=540, help="that this call may take")
    parser.add_argument("--out", type=Path, default=Path("results/reference"))
    parser.add_argument("--results", type=Path, default=Path("results"), help="of the sweep")
    parser.add_argument("--sweep", type=Path, default=Path("sweeps/table_c.yaml"))
    parser.add_argument("--only", default="", help="steps whose name contains this")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("torch sees no CUDA device on this machine")
    end, noted = time.monotonic() + args.seconds, args.out / "gpu_steps.json"
    args.out.mkdir(parents=True, exist_ok=True)
    done: dict[str, str] = json.loads(noted.read_text()) if noted.exists() else {}
    for step in steps(args.out, args.sweep, args.results):
        left = end - time.monotonic()
        if done.get(step.name) == "done" or args.only not in step.name:
            continue
        if left < LEAST_S:
            print(f"{step.name}: for the next call", flush=True)
            return OUT_OF_TIME
        done[step.name] = outcome(step, left)
        print(f"{step.name}: {done[step.name]}", flush=True)
        noted.write_text(json.dumps(done, indent=1) + "\n")
    left_over = [name for name, how in done.items() if how != "done"]
    print("all is done" if not left_over else f"not done: {', '.join(left_over)}")
    return int(bool(left_over))


def outcome(step: Step, seconds: float) -> str:
    """Run a step: `done`, `cut off` or `failed with exit code N`."""
    print(f"== {step.name}, {seconds:.0f} s left", flush=True)
    command = list(step.command)
    if step.keeps_time:
        command += ["--seconds", f"{max(1.0, seconds - STOPPING_S):.0f}"]
    running = subprocess.Popen(command, start_new_session=True)
    try:
        code = running.wait(seconds)
    except subprocess.TimeoutExpired:
        _stop(running)
        return "cut off"
    if code == OUT_OF_TIME and step.keeps_time:
        return "cut off"
    return "done" if code == 0 else f"failed with exit code {code}"


def _stop(running: "subprocess.Popen[bytes]") -> None:
    """End a step and what it started: asked first, so that a study closes its books."""
    for sign in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(running.pid, sign)
            running.wait(STOPPING_S)
        except (subprocess.TimeoutExpired, ProcessLookupError):
            continue


if __name__ == "__main__":
    sys.exit(main())
