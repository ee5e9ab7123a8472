"""What keeping a large study costs: appending to it, reading it, going on with it, its page.

    python benchmarks/store.py --trials 100000 --folder DIR

A study of made-up trials (`benchmarks/dashboard.py`) is filled, then appended to one record at a
time, as a sweep does. Prints one JSON object; times in seconds or milliseconds as named.
"""

import argparse
import itertools
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from dashboard import records, sweep

from evnas.record import Record
from evnas.search.state.history import History
from evnas.search.state.objectives import resolved_objectives
from evnas.space.space import SearchSpace
from evnas.store import Store
from evnas.sweep.search_spec import ObjectiveSpec, SearchSpec
from evnas.sweep.strategy_spec import strategy_spec
from evnas.sweep.sweep import load_sweep

APPENDS = 2000
"""That are timed."""
KINDS = 500
"""Different trials; more are these again under other names, since making one takes longer than
keeping it."""


def many(trials: int) -> Iterator[Record]:
    """Records of `trials` trials, each of a label and digest of its own."""
    made = list(records(KINDS))
    for number in range(-(-trials // KINDS)):
        for record in made:
            label = int(record.label) + number * KINDS
            if label < trials:
                yield replace(record, label=str(label), digest=f"{label:012x}")


def fill(path: Path, trials: int) -> int:
    """A study of `trials` trials, written in large transactions; how many records it has."""
    written = 0
    with Store.create(path, sweep=sweep(trials), environment={}) as store:
        waiting = many(trials)
        while batch := list(itertools.islice(waiting, 5000)):
            written = store.append_all(batch)
    return written


def append_ms(path: Path, first: int) -> list[float]:
    """Milliseconds of each of `APPENDS` appends, every one of them durable when it returns."""
    found = []
    with Store.append_to(path) as store:
        for record in itertools.islice(records(APPENDS), APPENDS):
            label = str(first + int(record.label))
            again = replace(record, label=label, digest=f"x{label}")
            began = time.perf_counter()
            store.append(again)
            found.append(1000 * (time.perf_counter() - began))
    return found


def in_a_process(code: str, *words: str) -> dict[str, float]:
    """Seconds and peak memory of some Python, counted from after its imports."""
    script = (
        "import json, resource, sys, time\nfrom pathlib import Path\n"
        "from evnas.search.state.history import History\n"
        "from evnas.report.frame.study_reader import StudyReader\n"
        "from evnas.store import Store\n"
        "from evnas.tables import PHASES\n"
        "[PHASES.get(name) for name in PHASES]\n"
        "began, cpu = time.perf_counter(), time.process_time()\n"
        f"{code}\n"
        "print(json.dumps({'wall_s': time.perf_counter() - began,"
        " 'cpu_s': time.process_time() - cpu,"
        " 'peak_mib': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(ended.stdout)
    return found


RESUME = (
    "from evnas.sweep.search_spec import ObjectiveSpec\n"
    "aims = (ObjectiveSpec(metric='params_m', goal='min'),"
    " ObjectiveSpec(metric='macs_g', goal='min'))\n"
    "with Store.read(Path(sys.argv[1])) as store:\n"
    "    History(objectives=aims).take_store(store)"
)
ROWS = "with Store.read(Path(sys.argv[1])) as store:\n    n = sum(1 for _ in store.rows())"
FRAME = (
    "reader = StudyReader(Path(sys.argv[1]).parent)\nreader.read_all()\nreader.columns()\n"
    "reader.close()"
)
BESIDE = (
    "import sys, time\nfrom pathlib import Path\n"
    "from evnas.report.frame.study_reader import StudyReader\n"
    "reader = StudyReader(Path(sys.argv[1]).parent)\n"
    "print('reads', flush=True)\n"
    "while True:\n    reader.follow(), reader.columns(), time.sleep(0.5)"
)


def appended_beside_a_reader(path: Path, first: int) -> list[float]:
    """`append_ms` while another process keeps a dashboard's frame of the study."""
    reader = subprocess.Popen([sys.executable, "-c", BESIDE, str(path)], stdout=subprocess.PIPE)
    assert reader.stdout is not None
    try:
        reader.stdout.readline()
        return append_ms(path, first)
    finally:
        reader.kill()
        reader.communicate()


def first_proposal(kind: str, trials: int) -> dict[str, float]:
    """Seconds until a strategy that goes on with a search of so many trials proposes."""
    sweep = load_sweep(Path(__file__).parents[1] / "sweeps" / "search_cpu.yaml")
    assert isinstance(sweep.spec, SearchSpec)
    space = SearchSpace.from_spec(sweep.spec.space, sweep.base)
    rng = random.Random(0)
    archs = [space.sample(rng)[1] for _ in range(KINDS)]
    aims = [ObjectiveSpec(metric=metric, goal="min") for metric in ("params_m", "macs_g")]
    history = History(objectives=resolved_objectives(aims, ()))
    history.take_all(
        (
            number,
            Record(
                label=str(number),
                digest=f"{number:012x}",
                arch=archs[number % KINDS].to_dict(),
                phase="count",
                status="complete",
                values={"params": rng.uniform(1e6, 9e6), "macs_exact": rng.uniform(1e8, 9e8)},
            ),
        )
        for number in range(trials)
    )
    strategy = strategy_spec(kind).strategy(space, warm=(), full_budget=0.0)
    began, cpu = time.perf_counter(), time.process_time()
    assert strategy.propose(history, 1)
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    return {"wall_s": round(wall_s, 2), "cpu_s": round(cpu_s, 2)}


def report(path: Path) -> dict[str, float]:
    """What the page of a study costs, and its size."""
    code = "from evnas.report.page.one_file import write_report\n"
    code += "made = write_report(Path(sys.argv[1]).parent)"
    found = in_a_process(code, str(path))
    page = path.parent / "report.html"
    return {**found, "page_mib": page.stat().st_size / 2**20}


def summary_of(found_ms: list[float]) -> dict[str, float]:
    """Median and 99th percentile."""
    return {
        "median_ms": round(statistics.median(found_ms), 3),
        "p99_ms": round(statistics.quantiles(found_ms, n=100)[98], 3),
    }


def main() -> None:
    """Fill, time, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=None)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        path = Path(folder) / "s" / "study.db"
        sheet: dict[str, Any] = {"trials": asked.trials, "records": fill(path, asked.trials)}
        sheet["file_mib"] = round(path.stat().st_size / 2**20, 1)
        sheet["append"] = summary_of(append_ms(path, 10**7))
        sheet["append_beside_a_dashboard"] = summary_of(appended_beside_a_reader(path, 2 * 10**7))
        for name, code in (("rows", ROWS), ("resume", RESUME), ("dashboard", FRAME)):
            sheet[name] = {k: round(v, 2) for k, v in in_a_process(code, str(path)).items()}
        sheet["report"] = {k: round(v, 2) for k, v in report(path).items()}
        for kind in ("nsga2", "nsga3"):
            sheet[f"first_proposal_{kind}"] = first_proposal(kind, asked.trials)
        sheet["machine"] = f"{os.cpu_count()} cores"
        sheet["peak_mib_here"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(json.dumps(sheet))


if __name__ == "__main__":
    main()
