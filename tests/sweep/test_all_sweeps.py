"""Every published sweep ends with its whole table, on the path of `evnas sweep`, cut down.

Each distinct architecture of a file is counted at its printed resolutions and trained for two
steps at an eighth of its width. All rows are timed on all targets, each at a side of its own, with
one narrow block a stage in place of the architecture and a linear map of patches in place of a
peer: what the architectures themselves give is the concern of tests/blocks. What a prediction asks
of a model is made up: tests/predict takes it from real ones.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image
from torch import nn

from evnas.arch.paths import assign
from evnas.arch.spec import ArchSpec
from evnas.measure.models import model_for
from evnas.papers.published import published_table
from evnas.phases.base import Goal
from evnas.phases.work import Event, Work
from evnas.predict.predictor import SIGNALS
from evnas.proxy.scores.scored import Scored
from evnas.report.table.ablation import AblationTable
from evnas.report.table.formats import as_csv, as_markdown
from evnas.report.table.study_table import load_table
from evnas.search import runner
from evnas.search.evaluate import Evaluator
from evnas.search.prepare import PreparedAblation, prepared
from evnas.search.setting import missing
from evnas.search.strategies.rows import evaluated
from evnas.store import Store
from evnas.sweep.sweep import Sweep, load_sweep

SWEEPS = Path(__file__).parents[2] / "sweeps"
FILES = [path for path in sorted(SWEEPS.glob("*.yaml")) if not path.stem.startswith("search")]
TIMED = ["targets[*].budget_s=0.01", "targets[*].batch_size=1"]
TRAINED = ["batch_size=2", "points_per_epoch=1", "curve_images=4", "images_per_epoch=4"]
TRAINED += ["epochs=1", "width=0.125", "resolution=32"]
LARGEST_SIDE = 192
"""In pixels, of what is timed in small forms."""


@dataclass
class HereEngine:
    """Does the work in this process: a worker's start would cost more than its work."""

    slots: int = 1
    _evaluator: Evaluator = field(default_factory=Evaluator)
    _waiting: list[Work] = field(default_factory=list)

    def submit(self, work: Work) -> None:
        self._waiting.append(work)

    def wait(self, timeout_s: float) -> list[Event]:
        return [self._evaluator.run(self._waiting.pop(), lambda fraction, text: None)]

    def close(self) -> None:
        self._waiting.clear()


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of two images, to train and to hold out."""
    folder = tmp_path_factory.mktemp("images")
    for part in ("train", "val"):
        for name, value in (("dark", 40), ("light", 200)):
            (folder / part / name).mkdir(parents=True)
            for i in range(2):
                picture = Image.new("RGB", (32, 32), (value, value, 20 * i))
                picture.save(folder / part / name / f"{i}.png")
    return folder


@pytest.fixture(autouse=True)
def made_up_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of those of whole models, which would take most of this file's time."""
    found = Scored(dict.fromkeys(SIGNALS, 0.5) | {"mixers": 8.0}, {})
    monkeypatch.setattr("evnas.proxy.scores.scored.scored", lambda *args, **named: found)


def shrunk(path: Path, images: Path) -> Sweep:
    """The sweep, whose models are small and trained on few images."""
    whole = load_sweep(path)
    largest = max(row.resolution or 224 for row in whole.candidates)
    sets = [*TIMED, f"targets[*].resolution_scale={min(0.15, LARGEST_SIDE / largest)}"]
    if whole.spec.proxy is not None:
        sets += [f"proxy.{text}" for text in TRAINED] + [f"proxy.data={{folder: {images}}}"]
    return load_sweep(path, overrides=sets)


def planned(sweep: Sweep) -> set[object]:
    """Keys of all its work; rows of one architecture share a training."""
    ready = prepared(sweep)
    goal = Goal(seeds=sweep.spec.seeds, budget=ready.full_budget)
    found: dict[object, Work] = {}
    assert isinstance(ready, PreparedAblation)
    for row in ready.rows:
        for work in ready.setting.works(row, goal):
            label = "" if work.phase == "proxy" else row.label
            found.setdefault((label, *work.key[1:]), work)
    return {work.key for work in found.values()}


def small_form(arch, *, resolution, impl="auto"):
    """What a row times here: one block per stage, an eighth as wide; patches alone for a peer."""
    if "timm" in arch:
        patches = nn.Conv2d(3, 8, kernel_size=16, stride=16)
        return nn.Sequential(patches, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1000))
    small = ArchSpec.from_dict(arch).scaled(0.125, stem_stride=arch["stem"]["stride"]).to_dict()
    assign(small, "stages[*].depth", 1)
    return model_for(small, resolution=resolution, impl=impl)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_row_and_target_reaches_the_table(path, tmp_path, images, monkeypatch):
    monkeypatch.setattr(runner, "engine_for", lambda spec: HereEngine())
    monkeypatch.setattr("evnas.measure.models.model_for", small_form)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # waits for no other measurement
    sweep = shrunk(path, images)
    folder = runner.run_sweep(sweep, results=tmp_path, fresh=False, began=time.monotonic())
    with Store.read(folder / "study.db") as store:
        records = [record for _, record in store.records()]
    assert {(r.label, r.phase): r.error for r in records if r.status != "complete"} == {}
    assert {r.key for r in records} == planned(sweep)
    here = set(range(len(sweep.spec.targets))) - set(missing(sweep))
    timed = {(r.label, r.target) for r in records if r.phase == "speed"}
    assert len(timed) == len(evaluated(sweep)) * len(here)
    table = load_table(folder)
    assert table is not None
    holds_all_that_is_printed(table, sweep)
    keys = [column_of(sweep, i) for i in here]
    for candidate, line in zip(sweep.candidates, table.lines, strict=True):
        assert all(bool(line.cells[key].value) != bool(candidate.absent) for key in keys)


def column_of(sweep: Sweep, target: int) -> str:
    """The ratio's key on a target."""
    mode = "train_" if sweep.spec.targets[target].mode == "training" else ""
    alike = [
        i for i, t in enumerate(sweep.spec.targets) if t.mode == sweep.spec.targets[target].mode
    ]
    return f"{mode}throughput_ratio" + ("" if alike[0] == target else f"@{target}")


def holds_all_that_is_printed(table: AblationTable, sweep: Sweep) -> None:
    """Each printed figure stands in its row."""
    beside = sweep.spec.published
    printed = {} if beside is None else published_table(beside.paper, beside.table)
    text, data = as_markdown(table), as_csv(table)
    for candidate, line in zip(sweep.candidates, table.lines, strict=True):
        shown = {cell.published for cell in line.cells.values()}
        if beside is not None:
            assert set(printed[candidate.published].printed.values()) <= shown, candidate.label
        assert f"| {candidate.label}" in text and candidate.label in data
        if candidate.absent:
            assert line.cells["params_m"].status == "absent"
            continue
        assert line.cells["params_m"].value
