"""What `--quick` makes of a file, and what a file may say about it."""

from pathlib import Path

import pytest

from evnas.errors import SpecError
from evnas.phases.base import TimedOn
from evnas.search.prepare import prepared
from evnas.search.setting import SweepSetting, missing
from evnas.search.strategies.rows import evaluated
from evnas.sweep.candidate import Candidate
from evnas.sweep.search_spec import SearchSpec
from evnas.sweep.sweep import Sweep, load_sweep

SWEEPS = Path(__file__).parents[2] / "sweeps"
FILES = sorted(SWEEPS.glob("*.yaml"))


def timed(sweep: Sweep, row: Candidate) -> list[TimedOn]:
    """What a row is timed on here."""
    setting = SweepSetting(sweep=sweep, reference_macs=1e9, absent=missing(sweep))
    return list(setting.targets_of(row).values())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_quick_keeps_the_rows_and_bounds_the_cost(path):
    full, quick = (load_sweep(path, quick=q) for q in (False, True))
    assert quick.spec.name == full.spec.name + "_quick"
    assert quick.spec.title.endswith("(a first look by --quick)")
    assert quick.candidates == full.candidates
    for on in () if isinstance(quick.spec, SearchSpec) else timed(quick, quick.reference):
        assert on.resolution <= 256
        assert on.budget_s <= 2
    if quick.spec.proxy is not None:
        assert quick.spec.proxy.presentations <= 2000
        assert quick.spec.proxy.held_out_images <= 2000
        # 20 steps of 32 leave the statistics of batch norms unsettled: top-1 at chance
        assert quick.spec.proxy.presentations / quick.spec.proxy.batch_size > 30
    if isinstance(quick.spec, SearchSpec):
        assert quick.spec.budget.trials == 8


def test_counts_keep_the_printed_resolution():
    quick = load_sweep(SWEEPS / "vssd_table_1.yaml", quick=True)
    setting = SweepSetting(sweep=quick, reference_macs=1e9, absent=missing(quick))
    rows = {row.label: row for row in evaluated(quick)}
    counted = {label: setting.counted_at(row) for label, row in rows.items()}
    sizes = {label: timed(quick, row)[-1].resolution for label, row in rows.items()}
    sides = (224, 384, 512, 640, 768, 1024)
    assert [counted[f"VSSD-T@{side}"] for side in sides] == list(sides)
    assert [sizes[f"VSSD-T@{side}"] for side in sides] == [64, 96, 128, 160, 192, 256]


def test_halving_keeps_its_rungs():
    sets = ["targets[0].device=cpu"]
    quick = load_sweep(SWEEPS / "search_gpu.yaml", quick=True, overrides=sets)
    assert quick.spec.proxy is not None
    assert quick.spec.proxy.epochs == 9
    prepared(quick)  # refuses rungs that are not whole epochs


HEAD = "name: x\nbase: efficientvim_m1\nrows: {A: {}}\nproxy: {}\n"
QUICK = 'quick: {proxy.images_per_epoch: 320, "targets[0].batch_size": 2}\n'


def test_a_file_says_more_about_its_first_look(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text(HEAD + QUICK)
    full, quick = (load_sweep(path, quick=q).spec for q in (False, True))
    assert full.proxy is not None and quick.proxy is not None
    assert (full.proxy.images_per_epoch, quick.proxy.images_per_epoch) == (1600, 320)
    assert quick.targets[0].batch_size == 2
    assert "quick" not in load_sweep(path).identity()


def test_what_is_set_by_hand_stands():
    sets = ["proxy.images_per_epoch=2400", "targets[0].batch_size=3"]
    spec = load_sweep(SWEEPS / "table_c.yaml", quick=True, overrides=sets).spec
    assert spec.proxy is not None
    assert (spec.proxy.images_per_epoch, spec.targets[0].batch_size) == (2400, 3)


@pytest.mark.parametrize(
    ("line", "want"),
    [
        ("quick: {proxy.epocs: 1}", "x.yaml:5: quick.proxy.epocs: there is no 'epocs' at proxy"),
        ("quick: {proxy.epochs: 0}", "x.yaml:5: quick.proxy.epochs: must be at least 1, got 0"),
    ],
)
def test_what_it_cannot_say(tmp_path, line, want):
    path = tmp_path / "x.yaml"
    path.write_text(HEAD + line + "\n")
    with pytest.raises(SpecError) as e:
        load_sweep(path, quick=True)
    assert want in str(e.value)
