"""Speed, memory and latency beside print: whole tables from records alone."""

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from evnas.record import Measurement, Record
from evnas.report.table.ablation import AblationTable, build_ablation_table
from evnas.report.table.formats import as_csv, as_latex, as_markdown, as_text
from evnas.report.table.speed_cells import LEAST_ROUNDS, disturbed_rounds
from evnas.sweep.sweep import Sweep, load_sweep, sweep_of

SWEEPS = Path(__file__).parents[2] / "sweeps"


def timed(
    sweep: Sweep,
    label: str,
    *,
    target: str,
    index: int = 0,
    img_s: float = 100.0,
    ratio: float | None = None,
    base_ms: tuple[float, ...] = (),
    peak_mib: float = 0.0,
) -> Record:
    """A speed record of one row, seven rounds; without a ratio it was timed alone."""
    row = next(c for c in sweep.candidates if c.label == label)
    conditions = {"batch_size": int(target.split("-")[3][1:]), "warnings": []}

    def around(name: str, middle: float) -> Measurement:
        samples = tuple(middle * (1 + 0.01 * i) for i in range(-3, 4))
        return Measurement(name, samples, conditions)

    found = {"throughput_img_s": around("throughput_img_s", img_s)}
    if ratio is not None:
        found["throughput_ratio"] = around("throughput_ratio", ratio)
    if base_ms:
        found["base_latency_ms"] = Measurement("base_latency_ms", base_ms, conditions)
    return Record(
        label=label, digest=row.digest, arch=row.to_dict(), phase="speed", status="complete",
        target=target, measurements=found, values={"peak_mib": peak_mib},
        details={"target_index": index},
    )  # fmt: skip


def cell(table: AblationTable, label: str, key: str):
    return next(line for line in table.lines if line.label == label).cells[key]


def verdict(table: AblationTable, label: str, key: str) -> str:
    return str(cell(table, label, key).verdict)


@pytest.fixture
def table_e() -> AblationTable:
    sweep = load_sweep(SWEEPS / "efficientvim_table_e.yaml")
    gpu, cpu = "cuda0-torch-256-b256-float32", "cpu-torch-256-b16-float32"

    def records() -> Iterator[Record]:
        yield timed(sweep, "EfficientViM-M4", target=gpu, img_s=8000)
        yield timed(sweep, "SHViT-S4", target=gpu, img_s=8000, ratio=1.02)
        yield timed(sweep, "MobileOne-S4", target=gpu.replace("256", "224", 1), ratio=0.4)
        yield timed(sweep, "SHViT-S4", target=cpu, index=1, img_s=160, ratio=1.6)

    return build_ablation_table(sweep, records(), {})


def test_latencies_stand_beside_what_was_measured(table_e):
    gpu = cell(table_e, "SHViT-S4", "gpu_ms_per_img")
    assert (gpu.value, gpu.published) == (pytest.approx(0.125), "0.12")
    assert gpu.low < gpu.value < gpu.high
    batch = cell(table_e, "SHViT-S4", "cpu_ms_per_batch")
    assert (batch.value, batch.published) == (pytest.approx(100), "27.4")
    assert verdict(table_e, "SHViT-S4", "cpu_ms_per_batch") == (
        "not comparable: EPYC 7742, batch 16 in print; cpu, batch 16 here"
    )


def test_a_phone_is_print_only(table_e):
    phone = cell(table_e, "SHViT-S4", "mobile_ms_per_img")
    assert (phone.value, phone.published, phone.status) == (None, "0.9", "print only")
    assert not phone.verdict.kind
    assert cell(table_e, "SHViT-S4", "top1_percent").published == "79.4"


def test_printed_latencies_give_the_printed_ratio_of_speeds(table_e):
    # 0.12 ms and 0.12 ms; on the CPU M4's 32.1 ms over 27.4 ms
    assert cell(table_e, "SHViT-S4", "throughput_ratio").published == "1.000"
    assert verdict(table_e, "SHViT-S4", "throughput_ratio") == "matches"
    assert cell(table_e, "SHViT-S4", "throughput_ratio@1").published == "1.172"
    assert verdict(table_e, "SHViT-S4", "throughput_ratio@1") == "same direction: by +0.428"


def test_no_verdict_where_print_had_another_resolution(table_e):
    # timed at 224 beside M4 at 224; print has M4 at 256
    assert verdict(table_e, "MobileOne-S4", "throughput_ratio").startswith(
        "not comparable: printed"
    )


def test_a_ratio_at_another_resolution_is_not_ranked():
    sweep = load_sweep(SWEEPS / "efficientvim_table_e.yaml")
    names = ("MobileViTV2 1.0", "FastViT-T12", "SHViT-S4", "MobileOne-S4")
    ratios = dict(zip(names, (0.5, 0.7, 1.2, 9.0), strict=True))  # MobileOne's would break it
    target = "cpu-torch-256-b16-float32"
    records = [
        timed(sweep, label, target=target, index=1, ratio=ratio) for label, ratio in ratios.items()
    ]
    (rank,) = [r for r in build_ablation_table(sweep, records, {}).ranks if "target 2" in r.name]
    assert rank.agreement is not None and rank.agreement.n == 3
    assert str(rank).endswith("n = 3, without MobileOne-S4 (other resolutions in print)")


def test_a_ratio_of_too_few_rounds_is_not_ranked():
    sweep = load_sweep(SWEEPS / "table_c.yaml")
    target = "cpu-torch-224-b16-float32"
    ratios = {"B": 0.6, "C": 0.8, "D": 0.9, "E": 9.0}  # E was disturbed, and would break the order
    records = [timed(sweep, "A", target=target)]
    records += [timed(sweep, row, target=target, ratio=x) for row, x in ratios.items()]
    short = Measurement("throughput_ratio", (9.0,) * (LEAST_ROUNDS - 1), {})
    kept = {**records[-1].measurements, "throughput_ratio": short}
    records[-1] = replace(records[-1], measurements=kept)
    rank = build_ablation_table(sweep, records, {}).ranks[0]
    assert rank.agreement is not None and rank.agreement.n == 4
    assert str(rank).endswith("n = 4, without E (too few rounds)")


def test_a_wide_ratio_of_disturbed_rounds_tells_nothing_of_print():
    """Printed are 1.103 for B: it lies within, as almost anything does."""
    sweep = load_sweep(SWEEPS / "table_c.yaml")
    target = "cpu-torch-224-b16-float32"
    records = [timed(sweep, "A", target=target), timed(sweep, "B", target=target, ratio=1.0)]
    wide = tuple(0.5 + 0.125 * i for i in range(9))
    for quiet, said in ((0, "cannot tell: others disturbed 9 of 9 rounds"), (9, "matches")):
        of = Measurement("throughput_ratio", wide, {"quiet_rounds": quiet})
        kept = {**records[1].measurements, "throughput_ratio": of}
        table = build_ablation_table(
            sweep, [records[0], replace(records[1], measurements=kept)], {}
        )
        assert verdict(table, "B", "throughput_ratio") == said


def test_without_a_gpu_its_latency_is_print_only():
    sweep = load_sweep(SWEEPS / "efficientvim_table_e.yaml", overrides=["targets[0].device=auto"])
    small, large = "cpu-torch-256-b4-float32", "cpu-torch-256-b16-float32"
    records = [
        timed(sweep, "SHViT-S4", target=small, img_s=40, ratio=1.5),
        timed(sweep, "SHViT-S4", target=large, index=1, img_s=160, ratio=1.6),
    ]
    table = build_ablation_table(sweep, records, {})
    assert cell(table, "SHViT-S4", "gpu_ms_per_img").status == "print only"
    assert cell(table, "SHViT-S4", "cpu_ms_per_batch").value == pytest.approx(100)
    assert cell(table, "SHViT-S4", "throughput_ratio@1").published == "1.172"


def test_speeds_of_several_machines_are_named_in_the_head():
    sweep = load_sweep(SWEEPS / "efficientvim_table_e.yaml")
    cpu = "cpu-torch-256-b16-float32"
    here = timed(sweep, "SHViT-S4", target=cpu, index=1, ratio=1.6)
    placed = {"conditions": {"machine": "a", "processor": "quick, 2 cores"}}
    there = replace(here, label="EfficientViM-M4", details={**here.details, **placed})
    assert not any(
        "several" in line for line in build_ablation_table(sweep, [here, there], {}).conditions
    )
    again = replace(here, details={**here.details, "conditions": {"machine": "b"}})
    (line,) = [
        t for t in build_ablation_table(sweep, [there, again], {}).conditions if "several" in t
    ]
    assert line.startswith(f"speeds of {cpu} are of several machines, 1 of a (quick, 2 cores) and")


def test_a_target_that_was_left_out_is_named_in_the_head():
    sweep = load_sweep(SWEEPS / "efficientvim_table_e.yaml")
    cpu = "cpu-torch-256-b16-float32"
    table = build_ablation_table(
        sweep, [timed(sweep, "SHViT-S4", target=cpu, index=1, ratio=1.6)], {}
    )
    assert "target 1, cuda, was not here: nothing was measured on it" in table.conditions
    assert cell(table, "SHViT-S4", "gpu_ms_per_img").status == "not run"
    assert cell(table, "SHViT-S4", "gpu_ms_per_img").published == "0.12"


def test_targets_that_are_one_are_told_in_the_head_and_each_speed_has_its_number():
    cpu = {"runtime": "torch", "resolution": 64, "batch_size": 2}
    phone = {"kind": "command", "name": "phone", "command": "x {model}", "resolution_scale": 0.5}
    targets = [cpu | {"device": "cpu"}, cpu, phone]
    sweep = sweep_of(
        {"name": "s", "base": "efficientvim_m1", "rows": {"A": {}}, "targets": targets}
    )
    on_phone = "phone-command-112-b1-float32-deployed"
    records = [
        timed(sweep, "A", target="cpu-torch-64-b2-float32", img_s=1.0),
        timed(sweep, "A", target=on_phone, index=2, img_s=1.0),
    ]
    held = {"target": asdict(sweep.spec.targets[2].spelt())}
    records[1] = replace(records[1], details={**records[1].details, **held})
    said = build_ablation_table(sweep, records, {}).conditions
    assert f"speed, target 3: {on_phone}, in alternation with row A" in said
    assert "target 2, auto, is target 1 on this machine, and was timed once as that" in said
    assert "target 3, phone, timed each row at 0.5 of its side" in said


@pytest.fixture
def memory() -> AblationTable:
    sweep = load_sweep(SWEEPS / "vssd_table_1.yaml")
    small, large = "cuda0-torch-224-b128-float32", "cuda0-torch-512-b128-float32"
    records = [
        timed(sweep, "VSSD-T@224", target=small, peak_mib=2000.0),
        timed(sweep, "VSSD-T@512", target=large, peak_mib=9000.0, ratio=1.0),
        timed(sweep, "Swin-T@224", target=small, peak_mib=2468.6, ratio=1.0),
        timed(sweep, "Swin-T@512", target=large, peak_mib=12_000.0, ratio=0.5),
        timed(sweep, "ConvNeXt-T@512", target=large, peak_mib=9900.0, ratio=1.0),
    ]
    return build_ablation_table(sweep, records, {})


def test_ratios_of_smaller_images_have_no_verdict():
    sweep = load_sweep(SWEEPS / "vssd_table_1.yaml", quick=True)
    small = "cpu-torch-64-b16-float32"
    records = [
        timed(sweep, "VSSD-T@224", target=small, peak_mib=20.0),
        timed(sweep, "Swin-T@224", target=small, peak_mib=30.0, ratio=1.0),
    ]
    table = build_ablation_table(sweep, records, {})
    assert verdict(table, "Swin-T@224", "peak_ratio").startswith("not comparable")
    assert "target 1, auto, timed each row at 0.25 of its side" in table.conditions


def test_memory_stands_beside_print(memory):
    peak = cell(memory, "Swin-T@224", "peak_mib")
    assert (peak.value, peak.published) == (2468.6, "2402")
    assert verdict(memory, "Swin-T@224", "peak_mib").startswith(
        "not comparable: RTX 4090, batch 128"
    )
    assert cell(memory, "Swin-T@768", "peak_mib").published == "OOM"
    assert cell(memory, "Swin-T@768", "peak_ratio").published == ""


def test_memory_is_compared_at_the_rows_own_resolution(memory):
    assert verdict(memory, "Swin-T@224", "peak_ratio") == "matches"  # 2402 / 1946
    # print: 19731 / 9751 = 2.023 at 512; against VSSD-T at 224 it would be 10
    assert cell(memory, "Swin-T@512", "peak_ratio").published == "2.023"
    assert verdict(memory, "Swin-T@512", "peak_ratio") == "same direction: by -0.69"
    assert verdict(memory, "ConvNeXt-T@512", "peak_ratio").startswith("differs by +0.261")
    assert verdict(memory, "VSSD-T@512", "peak_ratio") == ""  # itself


def test_memory_at_another_batch_is_not_comparable():
    sweep = load_sweep(SWEEPS / "vssd_table_1.yaml")
    small = "cpu-torch-224-b4-float32"
    records = [
        timed(sweep, "VSSD-T@224", target=small, peak_mib=176.0),
        timed(sweep, "Swin-T@224", target=small, peak_mib=169.0, ratio=1.3),
    ]
    table = build_ablation_table(sweep, records, {})
    assert cell(table, "Swin-T@224", "peak_ratio").value == pytest.approx(169 / 176)
    assert verdict(table, "Swin-T@224", "peak_ratio") == (
        "not comparable: printed at batch 128, measured at 4, where weights are another share"
    )


def test_every_written_form_has_the_columns(memory, table_e):
    rows = {row["row"]: row for row in csv.DictReader(io.StringIO(as_csv(memory)))}
    assert rows["Swin-T@224"]["peak_mib_published"] == "2402"
    assert rows["Swin-T@224"]["peak_ratio_verdict"] == "matches"
    for form in (as_text, as_markdown):
        assert "peak memory (MiB)" in form(memory)
        assert "phone latency (ms/image)" in form(table_e)
        assert "print only" in form(table_e)
    assert "peak memory (MiB)" in as_latex(memory)
    assert any(rank.name.startswith("measured memory") for rank in memory.ranks)


def test_training_throughput_that_nothing_measures_is_shown_as_printed():
    data = load_sweep(SWEEPS / "vmamba_table_15.yaml").spec.to_dict()
    table = build_ablation_table(sweep_of(data | {"targets": data["targets"][:1]}), [], {})
    assert "train_throughput_ratio" not in {column.key for column in table.columns}
    cells = [line.cells["train_throughput_img_s"] for line in table.lines]
    assert [(c.published, c.status) for c in cells] == [
        (text, "print only") for text in ("571", "570", "577")
    ]


@pytest.fixture
def training() -> AblationTable:
    """VMamba's Table 12: a forward on the first target, a training step on the second."""
    sweep = load_sweep(SWEEPS / "vmamba_table_12.yaml")
    forward, step = "cpu-torch-224-b1-float32", "cpu-torch-224-b2-float32-train"
    records = [
        timed(sweep, "d1", target=forward, img_s=9.0),
        timed(sweep, "d1", target=step, index=1, img_s=2.0),
        timed(sweep, "d4", target=forward, img_s=7.0, ratio=0.856),
        timed(sweep, "d4", target=step, index=1, img_s=1.2, ratio=0.6, base_ms=(1e3, 1e3)),
        timed(sweep, "d8", target=step, index=1, img_s=1.6, ratio=0.787),
    ]
    return build_ablation_table(sweep, records, {})


def test_training_throughput_stands_beside_what_a_training_step_took(training):
    heads = {column.key: column.head for column in training.columns}
    assert heads["train_throughput_img_s"] == "training images/s"
    assert heads["train_throughput_ratio"] == "training, ratio to d1"
    assert heads["throughput_img_s"] == "images/s"
    assert not any("@" in key for key in heads)
    step, forward = (
        cell(training, "d4", key) for key in ("train_throughput_img_s", "throughput_img_s")
    )
    assert (step.value, step.published) == (pytest.approx(1.2), "382")
    assert (forward.value, forward.published) == (pytest.approx(7.0), "1147")
    assert str(step.verdict).startswith("not comparable: A100, batch 128 in print; cpu, batch 2")
    assert cell(training, "d1", "train_throughput_img_s").value == pytest.approx(2.0)  # beside d4
    assert cell(training, "d2", "train_throughput_img_s").status == "not run"


def test_the_ratio_of_training_steps_is_compared_with_the_printed_one(training):
    assert cell(training, "d4", "train_throughput_ratio").published == "0.823"  # 382 / 464
    assert verdict(training, "d4", "train_throughput_ratio") == "same direction: by -0.223"
    assert verdict(training, "d8", "train_throughput_ratio") == "matches"
    assert cell(training, "d4", "throughput_ratio").published == "0.856"  # 1147 / 1340
    assert verdict(training, "d4", "throughput_ratio") == "matches"
    assert verdict(training, "d1", "train_throughput_ratio") == ""  # itself
    assert "training, ratio to d1" in as_markdown(training)
    assert any(rank.name.startswith("measured training images/s") for rank in training.ranks)


def test_the_reference_has_its_speed_beside_the_other_rows():
    """Alone and first, row A's own record holds the machine's warm-up."""
    sweep = load_sweep(SWEEPS / "table_c.yaml")
    at = "cpu-torch-224-b16-float32"
    own = timed(sweep, "A", target=at, img_s=200.0)
    beside = [
        timed(sweep, "B", target=at, ratio=0.7, base_ms=(64.0, 64.0, 63.0)),
        timed(sweep, "C", target=at, ratio=0.6, base_ms=(65.0, 64.0)),
        timed(sweep, "D", target=at.replace("224", "256"), ratio=0.6, base_ms=(500.0,) * 9),
    ]
    alone = build_ablation_table(sweep, [own], {})
    assert cell(alone, "A", "throughput_img_s").value == pytest.approx(200)
    table = build_ablation_table(sweep, [own, *beside], {})
    speed = cell(table, "A", "throughput_img_s")
    assert speed.value == pytest.approx(16_000 / 64)
    assert speed.low <= speed.value <= speed.high
    assert cell(table, "A", "throughput_ratio").value == 1.0
    assert cell(table, "B", "throughput_ratio").value == pytest.approx(0.7)
    assert any("row A: its samples from all alternations" in line for line in table.conditions)


def test_no_verdict_where_a_row_was_measured_at_another_resolution_than_printed():
    sweep = load_sweep(SWEEPS / "vmamba_table_9.yaml")
    small = "cpu-torch-192-b2-float32"
    table = build_ablation_table(sweep, [timed(sweep, "Swin-T@384", target=small, ratio=0.4)], {})
    assert cell(table, "Swin-T@384", "throughput_ratio").value == pytest.approx(0.4)
    assert verdict(table, "Swin-T@384", "throughput_ratio") == (
        "not comparable: printed at 384, measured at 192"
    )


@pytest.mark.parametrize(
    ("quiet", "percent", "said"),
    [
        (0, 20, "others disturbed 9 of 9 rounds"),
        (LEAST_ROUNDS - 1, 20, "others disturbed 5 of 9 rounds"),
        (LEAST_ROUNDS, 20, ""),
        (0, 2, ""),  # they did not show
    ],
)
def test_what_others_disturbed_and_left_wide_is_no_agreement_with_print(quiet, percent, said):
    samples = tuple(0.8 * (1 + percent / 400 * i) for i in range(-4, 5))
    assert disturbed_rounds(Measurement("r", samples, {"quiet_rounds": quiet})) == said
    assert disturbed_rounds(Measurement("r", samples, {})) == ""  # of an older record
