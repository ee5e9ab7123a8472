"""What commands leave, say and refuse in places that are easily forgotten."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from evnas.arch.catalog import entry
from evnas.blocks.backbone import build
from evnas.commands.checkup import checkup_text
from evnas.commands.verify import verify
from evnas.errors import SpecError, StoreError
from evnas.kernels.dispatch import OPERATORS
from evnas.measure.counting.verify import Check
from evnas.phases.work import Event, Work
from evnas.report.page.outputs import write_outputs
from evnas.search.evaluate import Evaluator, silent
from evnas.search.runner import run_sweep
from evnas.sweep.named import arch_of
from evnas.sweep.sweep import Sweep, sweep_of

M1 = entry("efficientvim_m1").arch
LABEL = "μ − 漢 \\ done"
ABLATION = {
    "name": "small",
    "base": "efficientvim_m1",
    "rows": {"A": {}, LABEL: {"stages[*].depth": 1}},
    "targets": [],
}


def run(*words: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "evnas.cli", *map(str, words)],
        cwd=cwd,
        capture_output=True,
        env=os.environ | {"PATH": "", "OMP_NUM_THREADS": "1"} | environment,
    )


class Here:
    """The evaluator in this process."""

    slots = 1

    def __init__(self) -> None:
        self.works: list[Work] = []

    def submit(self, work: Work) -> None:
        self.works.append(work)

    def wait(self, timeout_s: float) -> list[Event]:
        return [Evaluator().run(self.works.pop(), silent)]

    def close(self) -> None:
        pass


def made(results: Path, **more: object) -> Path:
    """The folder of a study that only counts."""
    sweep = sweep_of(ABLATION | more)
    return run_sweep(sweep, results=results, fresh=False, began=0.0, make_engine=lambda _: Here())


def test_a_locale_without_the_signs_changes_no_file_and_stops_no_command(tmp_path):
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(ABLATION, allow_unicode=True), "utf-8")
    poor = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    done = run("sweep", "x.yaml", "--json", cwd=tmp_path, **poor)
    assert done.returncode == 0, done.stderr
    assert [line["label"] for line in json.loads(done.stdout)["table"]["lines"]] == ["A", LABEL]
    study = tmp_path / "results" / "small"
    assert f"| {LABEL} |" in (study / "table.md").read_text("utf-8").replace("\\\\", "\\")
    assert LABEL in yaml.safe_load((study / "sweep.resolved.yaml").read_text("utf-8"))["rows"]
    assert run("check", "x.yaml", cwd=tmp_path, **poor).returncode == 0


def test_a_report_needs_nothing_but_the_store(tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(M1.to_dict()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("evnas.report.page.outputs.write_report", lambda folder, out: [])
    whole = made(tmp_path / "results", base="mine.yaml")
    write_outputs(whole)
    (tmp_path / "mine.yaml").unlink()
    (tmp_path / "alone").mkdir()
    shutil.copy(whole / "study.db", tmp_path / "alone")
    monkeypatch.chdir("/")
    write_outputs(tmp_path / "alone")
    for name in ("table.md", "table.csv", "table.tex"):
        assert (tmp_path / "alone" / name).read_text() == (whole / name).read_text()


def test_a_report_of_no_study_makes_no_folder(tmp_path):
    for out in (None, tmp_path / "out"):
        with pytest.raises(StoreError, match="no study is here"):
            write_outputs(tmp_path / "none", out)
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_cannot_be_written_says_where(tmp_path):
    study = made(tmp_path / "results")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file: must be a folder that can be written.*--output"):
        write_outputs(study, tmp_path / "file")


@pytest.mark.parametrize("there", [False, True], ids=["new", "among others"])
def test_an_engine_that_does_not_start_leaves_no_folder(tmp_path, there):
    def none(spec: object) -> Any:
        raise ConnectionError("no cluster answers")

    if there:
        (tmp_path / "results" / "other").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ConnectionError):
        run_sweep(
            sweep_of(ABLATION), results=tmp_path / "results", fresh=False, began=0.0,
            make_engine=none,
        )  # fmt: skip
    assert sorted(tmp_path.rglob("*")) == before


def test_a_fronts_file_is_an_architecture(tmp_path):
    member: dict[str, Any] = {"trial": "5", "objectives": {}, "arch": M1.to_dict()}
    (tmp_path / "5.yaml").write_text(yaml.safe_dump(member))
    assert arch_of(tmp_path / "5.yaml") == M1
    member["arch"]["stages"][0]["dim"] = 0
    (tmp_path / "5.yaml").write_text(yaml.safe_dump(member))
    with pytest.raises(SpecError, match=r"5\.yaml:\d+: arch\.stages\[0\]\.dim: must be at least"):
        arch_of(tmp_path / "5.yaml")
    others: list[dict[str, Any]] = [{"name": "x", "rows": {}}, {"members": []}]
    for other in others:
        (tmp_path / "no.yaml").write_text(yaml.safe_dump(other))
        with pytest.raises(SpecError, match="this is a sweep's file or a front's"):
            arch_of(tmp_path / "no.yaml")


def test_a_model_is_built_by_its_name():
    with torch.device("meta"):
        assert sum(p.numel() for p in build("efficientvim_m1").parameters()) == 6_679_458
    with pytest.raises(SpecError, match="no architecture is named 'efficientvim_m9'"):
        build("efficientvim_m9")


def test_verify_takes_evnas_own_sweeps_wherever_it_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    taken: list[Sweep] = []

    def noted(sweeps: Sequence[Sweep], *, peers: bool) -> list[Check]:
        taken.extend(sweeps)
        return []

    monkeypatch.setattr("evnas.measure.counting.verify.verify", noted)
    verify(peers=False)
    assert {"table_c", "vssd_table_3"} <= {sweep.spec.name for sweep in taken}
    with pytest.raises(SpecError, match="--sweeps must name a folder of sweep files"):
        verify(sweeps=tmp_path, peers=False)


def test_doctor_shows_quota_and_governor_and_what_they_cost() -> None:
    cpu = {"model": "x", "cores": 4, "memory_gib": 8, "quota_cores": 1.5, "governor": "powersave"}
    doubt = "4 threads share a quota of 1.5 cores"
    found: dict[str, Any] = {
        "environment": {"python": "3", "packages": {}, "gpus": [], "cpu": cpu},
        "cpu_doubts": [doubt],
        "no_precedence": "only Linux has SCHED_RR",
        "devices": ["cpu"],
        "kernels": {"cpu": dict.fromkeys(OPERATORS, "cpu")},
        "runtimes": {"torch": "yes"},
        "data": {"images": "yes"},
        "ranking": {},
        "energy": {"cpu": "no counter"},
    }
    said = checkup_text(found).splitlines()
    assert "cpu: x, 4 cores, 8 GiB, a quota of 1.5 cores, governor powersave" in said
    assert f"cpu: {doubt}" in said
    assert "energy of cpu: no counter" in said
    others = "rounds that others disturb"
    assert f"{others}: taken again, beside them: only Linux has SCHED_RR" in said
    unknown = cpu | {"quota_cores": None, "governor": ""}
    found["environment"]["cpu"] = unknown
    found["no_precedence"] = ""
    said = checkup_text(found).splitlines()
    assert "cpu: x, 4 cores, 8 GiB" in said
    assert f"{others}: run before them (SCHED_RR)" in said
