"""The same lines in several fresh processes, one after another, in one file.

What a process allocated before decides which memory its forwards find, so a ratio that one process
gives can differ from the next one's by half. Here every process keeps its own line.
"""

import datetime
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

LINE = ("case", "pass", "form", "peer")
Found = Mapping[str, Any]
"""What one process wrote: its `runs` and `lines`."""


def in_processes(
    script: Path,
    options: Sequence[str],
    count: int,
    *,
    path: Path,
    end_s: float,
    run: Callable[[Sequence[str]], int] = subprocess.call,
) -> bool:
    """Run a benchmark `count` times, write all sheets and their summary after each.

    Args:
        script: a benchmark that writes one sheet into `--out`.
        options: its command line; what is appended wins over it.
        count: processes.
        path: of the JSON.
        end_s: on the monotonic clock; no process is begun after it.
        run: a command to its exit code.

    Returns:
        Whether all of them ran.

    Raises:
        subprocess.CalledProcessError: one of them failed.
    """
    found: list[Found] = []
    _write(path, options, found)
    for _ in range(count):
        if time.monotonic() >= end_s:
            return False
        with tempfile.TemporaryDirectory() as folder:
            own = ("--processes", "0", "--out", folder)
            command = (sys.executable, str(script), *options, *own)
            code = run(command)
            if code:
                raise subprocess.CalledProcessError(code, command)
            (written,) = Path(folder).glob("*.json")
            found.append(json.loads(written.read_text()))
        _write(path, options, found)
    return True


def summary(processes: Sequence[Found]) -> list[dict[str, Any]]:
    """Each line's ratio and times in every process that gave one; the ratios' median and ends."""
    rows: dict[str, dict[str, Any]] = {}
    for found in processes:
        for line in found["lines"]:
            if "absent" in line:
                continue
            key = {name: line[name] for name in LINE}
            row = rows.setdefault(
                json.dumps(key), {**key, "ratios": [], "latency_ms": [], "peer_latency_ms": []}
            )
            row["host_memory"] = found["runs"][line["run"]]["host_memory"]
            row["ratios"].append(line["ratio"][1])
            row["latency_ms"].append(line["latency_ms"][1])
            row["peer_latency_ms"].append(line["peer_latency_ms"][1])
    for row in rows.values():
        row["median"] = statistics.median(row["ratios"])
        row["lowest"], row["highest"] = min(row["ratios"]), max(row["ratios"])
    return list(rows.values())


def summary_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The summary as lines of text."""
    return "\n".join(
        f"{row['case']['model']}-b{row['case']['batch']} {row['form']} vs {row['peer']}, "
        f"{row['host_memory']}: x{row['median']:.2f} "
        f"[{row['lowest']:.2f}, {row['highest']:.2f}] of {len(row['ratios'])} processes: "
        + " ".join(f"{ratio:.2f}" for ratio in row["ratios"])
        for row in rows
    )


def _write(path: Path, options: Sequence[str], found: Sequence[Found]) -> None:
    content = {
        "date": datetime.date.today().isoformat(),
        "options": list(options),
        "summary": summary(found),
        "processes": found,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(content, indent=1) + "\n")
    aside.replace(path)
