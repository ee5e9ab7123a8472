"""Batches of targets: one for all devices, by kind of device, or as the published row printed."""

from pathlib import Path

import pytest

from evnas.errors import SpecError
from evnas.record import Measurement, Record
from evnas.report.table.ablation import build_ablation_table
from evnas.search.setting import SweepSetting
from evnas.search.strategies.rows import evaluated
from evnas.sweep.sweep import Sweep, load_sweep

SWEEPS = Path(__file__).parents[2] / "sweeps"
VSSD, VMAMBA = SWEEPS / "vssd_table_1.yaml", SWEEPS / "vmamba_table_9.yaml"
BY_KIND = "batch_size: {cuda: printed, cpu: auto}"


def batches(sweep: Sweep, kind: str) -> dict[str, object]:
    """Row -> batch on a kind of device, of the first target."""
    target = sweep.spec.targets[0]
    return {c.label: c.batch_on(kind, target) for c in sweep.candidates if not c.absent}


def test_a_gpu_takes_the_printed_batches():
    found = batches(load_sweep(VSSD), "cuda")
    sides = {224: 128, 384: 128, 512: 128, 640: 64, 768: 64, 1024: 32}  # the appendix's Table 1
    assert {side: found[f"VSSD-T@{side}"] for side in sides} == sides
    assert set(batches(load_sweep(VMAMBA), "cuda").values()) == {32}


def test_a_cpu_takes_what_it_can_bear():
    assert set(batches(load_sweep(VSSD), "cpu").values()) == {"auto"}
    sweep = load_sweep(VMAMBA, overrides=["targets[*].device=cpu"])
    setting = SweepSetting(sweep=sweep, reference_macs=4.9e9)
    taken = {
        (row.label, on.index): on.fields["batch_size"]
        for row in evaluated(sweep)
        for on in setting.targets_of(row).values()
    }
    assert taken["DeiT-S@768", 0] == 1
    assert taken["DeiT-S@768", 1] == 2  # the least of a training step
    assert max(taken.values()) <= 2


def test_a_first_look_takes_auto_everywhere():
    for kind in ("cpu", "cuda"):
        assert set(batches(load_sweep(VSSD, quick=True), kind).values()) == {"auto"}


def a_file(folder: Path, target: str, *, head: str = "") -> Path:
    rows = "rows: {Tiny: {}}"
    path = folder / "x.yaml"
    path.write_text(f"name: x\nbase: vssd_tiny\n{head}{rows}\ntargets:\n- {target}\n")
    return path


def test_a_row_that_prints_no_batch_takes_auto(tmp_path):
    head = "published: {paper: VSSD, table: main}\n"
    sweep = load_sweep(a_file(tmp_path, "{batch_size: printed}", head=head))
    assert batches(sweep, "cpu") == {"Tiny": "auto"}


def test_a_kind_that_is_not_named_takes_auto(tmp_path):
    sweep = load_sweep(a_file(tmp_path, "{batch_size: {cuda: 64}}"))
    assert (batches(sweep, "cuda"), batches(sweep, "cpu")) == ({"Tiny": 64}, {"Tiny": "auto"})


@pytest.mark.parametrize("batch", ["0", "many", "1.5", "{gpu: 3}", "{cuda: 0}", "[16]"])
def test_no_batch(tmp_path, batch):
    want = r"x.yaml:5: targets\[0\].batch_size.*: must be a number of images from 1, auto, printed"
    with pytest.raises(SpecError, match=want):
        load_sweep(a_file(tmp_path, f"{{batch_size: {batch}}}"))


def test_printed_needs_a_table(tmp_path):
    with pytest.raises(SpecError, match="batch_size printed needs `published`"):
        load_sweep(a_file(tmp_path, "{batch_size: printed}"))


def speed(sweep: Sweep, label: str, target: str, peak_mib: float, *, base: bool) -> Record:
    row = next(c for c in sweep.candidates if c.label == label)
    conditions = {"batch_size": int(target.split("-")[3][1:]), "warnings": []}
    names = ("throughput_img_s",) if base else ("throughput_img_s", "throughput_ratio")
    return Record(
        label=label, digest=row.digest, arch=row.to_dict(), phase="speed", status="complete",
        target=target, details={"target_index": 0}, values={"peak_mib": peak_mib},
        measurements={name: Measurement(name, (1.0,) * 7, conditions) for name in names},
    )  # fmt: skip


def memory_verdicts(target_224: str, target_640: str) -> list[str]:
    sweep = load_sweep(VSSD)
    records = [
        speed(sweep, "VSSD-T@224", target_224, 1000, base=True),
        speed(sweep, "VSSD-T@640", target_640, 4000, base=False),
        speed(sweep, "VMamba-T@224", target_224, 1646, base=False),  # print: 3204 / 1946
        speed(sweep, "VMamba-T@640", target_640, 4000, base=False),  # print: 12710 / 7645
    ]
    cells = {line.label: line.cells for line in build_ablation_table(sweep, records, {}).lines}
    return [str(cells[f"VMamba-T@{side}"]["peak_ratio"].verdict) for side in (224, 640)]


def test_printed_batches_give_memory_its_verdicts():
    gpu = "cuda0-torch-{}-b{}-float32"
    matches, differs = memory_verdicts(gpu.format(224, 128), gpu.format(640, 64))
    assert matches == "matches"
    assert differs.startswith("differs by")
    cpu = "cpu-torch-{}-b1-float32"
    for verdict in memory_verdicts(cpu.format(224), cpu.format(640)):
        assert verdict.startswith("not comparable: printed at batch")
