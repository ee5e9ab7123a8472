"""Everything that waits for a GPU, in the order of what it is worth, in calls of limited time.

    PYTHONPATH=. python3 benchmarks/gpu.py --out OUT [--begun EARLIER_OUT] [--seconds 540]

Nothing is installed or fetched, and all that is to be kept is written to OUT: figures, choices, a
study as an archive, and `gpu_steps.json`, which says of each case how it ended, when, on which
device and under which versions. Every case is a process of its own. One that hangs, or that leaves
the device in an error it does not recover from, ends alone, and goes on behind the line that did
it. A case counts as done when every line of it has its figures; the same command again takes what
is not, from OUT or from a copy of an earlier one.

`--rehearsal` tries all of it without a GPU, at tiny shapes: it times nothing.
"""

import argparse
import collections
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from exit_codes import BROKEN, OUT_OF_TIME, PARTLY

HERE = Path(__file__).resolve().parent
STEPS = "gpu_steps.json"
LEAST_S = 15
"""A case with less time left is for the next call."""
STOPPING_S = 10
"""What a case that keeps to a time itself gets beyond it, for the line under way."""
STARTS = 5
"""Of one case in a call: each goes on behind the line that ended the process before."""
LINE_LIMIT_S = 45
COMPILED_LINE_LIMIT_S = 150
TAIL_LINES = 40
NEEDED = (
    *("torch", "triton", "numpy", "timm", "pydantic", "yaml", "typer", "pytest"),
    *("evnas.blocks.deploy", "evnas.kernels", "evnas.measure.timing.speed", "evnas.running"),
)
"""What the steps import; the first that is missing is named before any time is spent."""
SHARED_CPU = 8
"""Cores that building the CUDA scan may take beside the measurements."""


Command = Sequence[str]


@dataclass(frozen=True, slots=True)
class Case:
    """One command, which goes on where it was cut off."""

    name: str
    command: Command
    is_sheet: bool = False
    """Whether it keeps a sheet of lines: it takes `--seconds`, and goes on behind a line."""


@dataclass(frozen=True, slots=True)
class Step:
    """Cases that share a time."""

    name: str
    cases: Sequence[Case]
    limit_s: float = float("inf")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call works."""

    out: Path
    """All that is kept."""
    results: Path
    """Studies under way; they are kept as archives."""
    sweep: Path
    call: str = ""
    rehearsal: bool = False

    @property
    def study(self) -> str:
        """Name of Table C's throughput."""
        return f"{self.sweep.stem}_{'rehearsal' if self.rehearsal else 'gpu'}"


@dataclass(slots=True)
class Outcome:
    """How a case ended."""

    how: str
    """`done`, `cut off`, `some lines are absent` or `failed with exit code N`."""
    seconds: float
    starts: int = 1
    call: str = ""
    device: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    tail: Sequence[str] = ()
    """What it printed last, where it is not done."""


def steps(at: Place) -> list[Step]:
    """All of them, first what matters most; the limits are those of a GPU at hand for minutes."""
    device = "cpu" if at.rehearsal else "cuda"

    def benchmark(script: str, suffix: str, *options: str, limit_s: int = LINE_LIMIT_S) -> Command:
        written = ["--device", device, "--out", str(at.out), "--suffix", suffix, "--resume"]
        bounded = ["--line-limit-s", str(limit_s), "--call", at.call]
        if at.rehearsal:  # a CPU compiles its loops for longer
            bounded = ["--line-limit-s", "300", "--call", at.call, "--rehearsal"]
        return (sys.executable, str(HERE / f"{script}.py"), *written, *bounded, *options)

    def kernels(only: str, *options: str) -> Case:
        about = ("--targets", "--only", only, "--budget-s", "1", *options)
        return Case(f"kernels {only}", benchmark("kernels", "_targets", *about), True)

    def models(
        only: str, forms: str, peers: str, *options: str, limit_s: int = LINE_LIMIT_S
    ) -> Case:
        about = ("--targets", "--only", only, "--forms", forms, "--peers", peers, *options)
        command = benchmark("models", "_targets", *about, limit_s=limit_s)
        return Case(f"{only}: {forms} against {peers}", command, True)

    def profile(only: str) -> Case:
        form = "deployed" if at.rehearsal else "deployed+nhwc"
        command = benchmark("kernel_profile", "", "--only", only, "--form", form)
        return Case(f"{only}: kernels of {form}", command, True)

    inference = ("--no-training", "--budget-s", "2")
    forms = "deployed,deployed+nhwc,deployed+graph,deployed+nhwc+graph"
    untimed = "deployed+kernels+graph,deployed+nhwc+kernels+graph"
    graphs = "deployed+graph,deployed+nhwc+graph"
    compiled = "compile,compile+reference"
    minutes = COMPILED_LINE_LIMIT_S
    m2, vmamba = "efficientvim_m2", "vmamba_tiny_s1l8"
    found = [
        Step("tests", [Case("operators on the GPU", _tests(at))], 90),
        Step(
            "M2",
            [
                models(m2, forms, "eager", *inference),
                models(m2, untimed, "eager", *inference),
                profile(m2),
            ],
            85,
        ),
        Step("hsm_ssd", [kernels("hsm_ssd", "--peers", "plain torch,reference")], 25),
        Step(
            "ss2d_scan",
            [
                kernels("ss2d_scan VMamba-T", "--peers", "plain torch"),
                kernels("ss2d_scan_low_rank VMamba-T", "--peers", "triton_fused"),
                kernels("ss2d_scan Vanilla-VMamba-T", "--peers", "plain torch"),
            ],
            50,
        ),
        Step(
            "VMamba-T",
            [
                models(vmamba, forms, "eager", *inference),
                models(vmamba, untimed, "eager", *inference),
                profile(vmamba),
                kernels("pixel_linear VMamba-T", "--peers", "triton"),
            ],
            85,
        ),
        Step("Table C", [Case("Table C's throughput", _throughput(at))], 60),
        Step(
            "CUDA scan",
            [
                kernels("ss2d_scan V", "--peers", "mamba_ssm", "--no-training"),
                models(vmamba, forms, "eager+mamba_ssm", *inference),
            ],
            60,
        ),
        Step(
            "max-autotune",
            [
                models(model, graphs, compiled, *inference, limit_s=minutes)
                for model in (m2, vmamba)
            ],
            180,
        ),
        Step(
            "training",
            [
                models(model, "none", "reference", "--budget-s", "3", limit_s=minutes)
                for model in (m2, vmamba)
            ],
        ),
    ]
    if at.rehearsal:
        return [replace(step, limit_s=float("inf")) for step in found]
    return [*found, *_in_hours(at, benchmark)]


def _in_hours(at: Place, benchmark: Callable[..., Command]) -> list[Step]:
    """What a GPU that is at hand for hours takes beyond."""
    evnas = (sys.executable, "-m", "evnas.cli")
    study = str(at.results / at.sweep.stem)
    choices = ("--write-choices", "--choices", str(at.out / "autotune_table.json"))
    sweep = (*evnas, "sweep", str(at.sweep), "--results", str(at.results))
    depthwise = benchmark("depthwise", "", "--budget-s", "2")
    models = benchmark("models", "", limit_s=COMPILED_LINE_LIMIT_S)
    return [
        Step("depthwise", [Case("depthwise", depthwise, True)]),
        Step("Table C's proxies", [Case("Table C whole", sweep)]),
        Step("audit", [Case("audit", (*evnas, "audit", study, "--json"))]),
        Step("every kernel", [Case("every kernel", benchmark("kernels", "", *choices), True)]),
        Step("every model", [Case("every model", models, True)]),
    ]


def _tests(at: Place) -> Command:
    """Those marked `gpu`. A warning of other versions than ours is no failure there."""
    python = (sys.executable, "-m")
    pytest = (*python, "pytest", "-m", "gpu", "-W", "default", "-p", "no:cacheprovider")
    marked = [
        str(file.relative_to(HERE.parent))
        for file in sorted((HERE.parent / "tests").rglob("test_*.py"))
        if "pytest.mark.gpu" in file.read_text(encoding="utf-8")
    ]  # the others import what may not be installed there
    return (*pytest, *marked) if at.rehearsal else (*pytest, "-n", "6", *marked)


def _throughput(at: Place) -> Command:
    """Table C's rows at batch 256 in half precision, two seconds a row, and no proxies."""
    about = ["device=cuda", "batch_size=256", "precision=float16", "budget_s=2"]
    if at.rehearsal:
        about = ["device=cpu", "batch_size=1", "resolution=64", "budget_s=0.1"]
    changes = [*(f"targets[0].{each}" for each in about), "proxy=null", "predict=null"]
    where = ["--results", str(at.results), "--name", at.study]
    sets = [word for change in changes for word in ("--set", change)]
    return (sys.executable, str(HERE / "sweep_rows.py"), str(at.sweep), *where, *sets)


def main() -> int:
    """Take what is left, as far as the time goes."""
    args = _arguments()
    end = time.monotonic() + args.seconds
    args.out.mkdir(parents=True, exist_ok=True)
    _take_over(args.begun, args.out)
    call = datetime.datetime.now().isoformat(timespec="seconds")
    results = args.results or Path(tempfile.mkdtemp(prefix="evnas-gpu-"))
    at = Place(args.out.resolve(), results.resolve(), args.sweep, call, args.rehearsal)
    os.environ.update(_environment(args, results))
    facts = machine_facts(at)
    reason = _unfit(facts, rehearsal=at.rehearsal)
    if reason:
        print(reason, file=sys.stderr)
        return 2
    _unpack(at)
    book = Book(at.out / STEPS)
    book.begin(call, args.seconds, facts)
    builder = _build_scan(args.cuda_scan) if args.cuda_scan else None
    try:
        for step in steps(at):
            if args.only in step.name:
                take_step(step, book, at, facts, end)
    finally:
        if builder is not None:
            _stop(builder)
    left_over = book.not_done()
    print("all is done" if not left_over else f"not done: {'; '.join(left_over)}")
    return int(bool(left_over))


def take_step(step: Step, book: "Book", at: Place, facts: Mapping[str, Any], end: float) -> None:
    """The cases of a step that are not done, within its time and the call's."""
    until = min(end, time.monotonic() + step.limit_s)
    for case in step.cases:
        name = f"{step.name} / {case.name}"
        if book.is_done(name):
            continue
        left = until - time.monotonic()
        if left < LEAST_S:
            book.put_off(name)
            print(f"{name}: for the next call", flush=True)
            continue
        print(f"== {name}, {left:.0f} s", flush=True)
        found = take(case, left)
        found.call, found.device, found.versions = at.call, facts["device"], facts["versions"]
        book.note(name, found)
        print(f"{name}: {found.how}, {found.seconds:.0f} s", flush=True)
        _pack(at)


def take(case: Case, seconds: float) -> Outcome:
    """Run a case; one that keeps a sheet is started again behind a line that ended its process."""
    began = time.monotonic()
    code: int | None = 0
    tail, starts = list[str](), 0
    while starts < (STARTS if case.is_sheet else 1):
        left = seconds - (time.monotonic() - began)
        if left < LEAST_S and starts:
            break
        command = list(case.command)
        if case.is_sheet:
            command += ["--seconds", f"{max(1.0, left - STOPPING_S):.0f}"]
        code, tail = run(command, left, patience_s=0.0 if case.is_sheet else STOPPING_S)
        starts += 1
        if code is None or (code >= 0 and code != BROKEN):
            break
    how = _how(code)
    spent = round(time.monotonic() - began, 1)
    return Outcome(how, spent, starts, tail=[] if how == "done" else tail)


def _how(code: int | None) -> str:
    named = {0: "done", None: "cut off", OUT_OF_TIME: "cut off", PARTLY: "some lines are absent"}
    return named.get(code, f"failed with exit code {code}")


def run(
    command: Command, seconds: float, *, patience_s: float = 0.0
) -> tuple[int | None, list[str]]:
    """A command's exit code, None where the time ended it, and what it printed last.

    It and all that it started are gone afterwards.

    Args:
        patience_s: it is asked to end so long before it has to, that a study closes its books.
    """
    running = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        cwd=HERE.parent,
    )
    last: collections.deque[str] = collections.deque(maxlen=TAIL_LINES)

    def read() -> None:
        assert running.stdout is not None
        with running.stdout as lines:
            for line in lines:
                print(line, end="", flush=True)
                last.append(line.rstrip("\n")[:500])

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    code: int | None
    try:
        code = running.wait(max(1.0, seconds))
    except subprocess.TimeoutExpired:
        code = None
    finally:
        _stop(running, patience_s)
    reader.join(1.0)
    return code, list(last)


def _stop(running: "subprocess.Popen[Any]", patience_s: float = 0.0) -> None:
    """End a process and what it started."""
    try:
        if running.poll() is None and patience_s:
            os.killpg(running.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                running.wait(patience_s)
        os.killpg(running.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    with suppress(subprocess.TimeoutExpired):  # a driver may hold on to it
        running.wait(5.0)


class Book:
    """How each case ended, in one file over any number of calls."""

    def __init__(self, path: Path) -> None:
        self._path = path
        kept = json.loads(path.read_text()) if path.exists() else {}
        self._calls: list[dict[str, Any]] = kept.get("calls", [])
        self._cases: dict[str, dict[str, Any]] = kept.get("cases", {})

    def begin(self, call: str, seconds: float, facts: Mapping[str, Any]) -> None:
        """A call, on this machine."""
        self._calls.append({"call": call, "seconds": seconds, **facts})
        self._write()

    def is_done(self, case: str) -> bool:
        """Whether an earlier call, or this one, had all of it."""
        return bool(self._cases.get(case, {}).get("how") == "done")

    def note(self, case: str, found: Outcome) -> None:
        """How a case ended."""
        self._cases[case] = asdict(found)
        self._write()

    def put_off(self, case: str) -> None:
        """A case for which there is no time; what an earlier call says of it stays."""
        if case not in self._cases:
            self.note(case, Outcome("for the next call", 0.0, 0))

    def not_done(self) -> list[str]:
        """The cases that the next call takes, with how they ended."""
        return [f"{n} ({c['how']})" for n, c in self._cases.items() if c["how"] != "done"]

    def _write(self) -> None:
        aside = self._path.with_suffix(".part")
        content = {"calls": self._calls, "cases": self._cases}
        aside.write_text(json.dumps(content, indent=1) + "\n")
        aside.replace(self._path)


def machine_facts(at: Place) -> dict[str, Any]:
    """Device, versions, and what cannot be imported; read in a process of its own."""
    asked = [sys.executable, str(HERE / "gpu_facts.py"), *NEEDED]
    limit_s = 600 if at.rehearsal else 120  # a rehearsal may be on a busy machine
    code, lines = run(asked, limit_s)
    if code is None:
        print(f"benchmarks/gpu_facts.py did not end within {limit_s} s", file=sys.stderr)
    found = lines[-1] if lines and code == 0 else "{}"
    facts: dict[str, Any] = json.loads(found)
    return facts


def _unfit(facts: Mapping[str, Any], *, rehearsal: bool) -> str:
    """Why nothing can be taken here; "" where it can."""
    if not facts:
        return "benchmarks/gpu_facts.py must run here, and it does not: see its last lines above"
    missing = facts["missing"]
    if missing:
        name, reason = next(iter(missing.items()))
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        return f"{sys.executable} must be able to import {name}, got {reason!r}{more}"
    if not facts["device"] and not rehearsal:
        return (
            "torch must see a CUDA device here, and sees none; --rehearsal tries all without one"
        )
    return ""


def _environment(args: argparse.Namespace, results: Path) -> dict[str, str]:
    """Of every process: this checkout first on the path, and where compiled kernels are."""
    known = os.environ.get("PYTHONPATH", "")
    found = {
        "PYTHONPATH": f"{HERE.parent}{os.pathsep}{known}" if known else str(HERE.parent),
        "EVNAS_CUDA_SCAN": str(results / "cuda_scan"),
    }
    if args.triton_cache is not None:
        found["TRITON_CACHE_DIR"] = str(args.triton_cache.resolve())
    return found


def _build_scan(sources: Path) -> "subprocess.Popen[Any]":
    """Begin to build the CUDA scan, beside the steps that do not need it."""
    command = [sys.executable, str(HERE / "cuda_scan.py"), "--sources", str(sources.resolve())]
    quiet = ["nice", "-n", "19", *command, "--jobs", str(SHARED_CPU)]
    return subprocess.Popen(quiet, start_new_session=True, cwd=HERE.parent)


def _take_over(begun: Path | None, out: Path) -> None:
    """Copy what an earlier call left, where this one's folder has nothing yet."""
    if begun is None or (out / STEPS).exists():
        return
    for file in begun.iterdir():
        if file.is_file():
            shutil.copyfile(file, out / file.name)


def _pack(at: Place) -> None:
    """Keep the study of Table C as one file."""
    folder = at.results / at.study
    if not folder.is_dir():
        return
    aside = at.out / f"{at.study}.part"
    with tarfile.open(aside, "w:gz") as archive:
        archive.add(folder, at.study)
    aside.replace(at.out / f"{at.study}.tar.gz")


def _unpack(at: Place) -> None:
    """Go on with the study that was kept, where there is none yet."""
    kept = at.out / f"{at.study}.tar.gz"
    if kept.exists() and not (at.results / at.study).exists():
        with tarfile.open(kept) as archive:
            archive.extractall(at.results, filter="data")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=540, help="that this call may take")
    parser.add_argument("--out", type=Path, default=Path("results/reference"))
    parser.add_argument("--begun", type=Path, help="what an earlier call left, to go on from")
    parser.add_argument("--results", type=Path, help="of studies; a temporary folder unless given")
    parser.add_argument("--sweep", type=Path, default=HERE.parent / "sweeps/table_c.yaml")
    parser.add_argument("--only", default="", help="steps whose name contains this")
    parser.add_argument("--triton-cache", type=Path, help="of compiled.py --fill-cache")
    parser.add_argument("--cuda-scan", type=Path, help="sources to build: see cuda_scan.py")
    parser.add_argument("--rehearsal", action="store_true", help="without a GPU, to try the steps")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
