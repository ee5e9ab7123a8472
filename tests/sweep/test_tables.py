"""The ablation table from records alone, and its four written forms."""

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from evnas.record import Measurement, Record, Status
from evnas.report.frame.accuracy import top1_difference
from evnas.report.table.ablation import AblationTable, build_ablation_table
from evnas.report.table.formats import as_csv, as_data, as_latex, as_markdown, as_text
from evnas.stats.power import noise_at
from evnas.sweep.sweep import load_sweep, sweep_of

SWEEPS = Path(__file__).parents[2] / "sweeps"
SWEEP = load_sweep(SWEEPS / "table_c.yaml")
PARAMS = {"A": 13_903_842, "B": 16_600_000, "C": 13_100_001}
RIGHT = {"A": "f" * 250 + "0" * 250, "B": "f" * 260 + "0" * 240, "C": "f" * 200 + "0" * 300}


def speed(label: str, ratio: float) -> dict[str, Measurement]:
    spread = [ratio * (1 + 0.01 * i) for i in (-2, -1, 0, 1, 2)]
    conditions = {"batch_size": 16, "warnings": []}
    found = {
        "throughput_img_s": Measurement("throughput_img_s", (50.0, 51.0, 52.0), conditions),
        "throughput_ratio": Measurement("throughput_ratio", tuple(spread), conditions),
    }
    return found if label != "A" else {"throughput_img_s": found["throughput_img_s"]}


def some_records() -> Iterator[Record]:
    """Rows A, B and C complete, D out of memory, L diverged; the rest was not run."""
    rows = {c.label: c for c in SWEEP.candidates}

    def record(label: str, phase: str, **rest: Any) -> Record:
        row = rows[label]
        return Record(
            label=label, digest=row.digest, arch=row.to_dict(), phase=phase,
            **{"status": "complete", **rest},
        )  # fmt: skip

    for label, ratio in (("A", 1.0), ("B", 0.70), ("C", 1.5)):
        counts = {"params": PARAMS[label], "macs": 355e6, "macs_exact": 352e6}
        yield record(label, "count", values=counts)
        yield record(
            label, "speed", target="cpu-torch-224-b16-float32",
            measurements=speed(label, ratio), details={"target_index": 0},
        )  # fmt: skip
        share = 100 * RIGHT[label].count("f") / 500
        yield record(
            label, "proxy", values={"top1_percent": share, "held_out_images": 2000.0},
            details={"correct_hex": RIGHT[label]}, budget=3200.0,
        )  # fmt: skip
    yield record("D", "speed", status="oom", target="t", details={"target_index": 0})
    yield record("L", "proxy", status="diverged", budget=3200.0)


@pytest.fixture
def table() -> AblationTable:
    return build_ablation_table(SWEEP, some_records(), {"cpu": {"model": "a CPU", "cores": 2}})


def verdict(table: AblationTable, label: str, key: str) -> str:
    line = next(line for line in table.lines if line.label == label)
    return str(line.cells[key].verdict)


def test_verdicts(table):
    assert verdict(table, "A", "params_m") == "matches"
    assert verdict(table, "C", "params_m") == "differs by +0.1 (+0.8 %)"
    assert verdict(table, "B", "throughput_ratio") == "matches"  # print: 11952 / 17005 = 0.703
    assert verdict(table, "C", "throughput_ratio").startswith("differs by +0.92")
    assert verdict(table, "A", "throughput_img_s").startswith(
        "not comparable: RTX 3090, batch 256"
    )
    # print: +2.1, ours +2.0, and one seed of so short a training tells no such difference
    assert verdict(table, "B", "top1_difference").startswith("cannot tell: the least that shows")
    assert verdict(table, "C", "top1_difference") == "differs by -10.8"
    assert verdict(table, "L", "top1_percent") == "matches: diverged"
    assert verdict(table, "B", "top1_percent").startswith("not comparable: ImageNet")


def test_the_difference_is_paired(table):
    rows = {record.label: record for record in some_records() if record.phase == "proxy"}
    over_images = top1_difference([rows["B"]], [rows["A"]])
    # B answers 40 images more of 2000 and loses none: far narrower than two shares apart
    assert over_images is not None and over_images.mid == pytest.approx(2.0)
    assert over_images.high - over_images.mid == pytest.approx(0.61, abs=0.02)
    # but another seed may undo it, and the table knows how far seeds of such trainings lie apart
    cell = next(line for line in table.lines if line.label == "B").cells["top1_difference"]
    assert cell.value == pytest.approx(2.0)
    proxy = SWEEP.spec.proxy
    assert proxy is not None
    apart = 1.96 * noise_at(proxy.presentations).sd_percent * math.sqrt(2)
    assert cell.high - cell.value == pytest.approx(apart, rel=1e-3)


def test_what_did_not_run_and_what_failed(table):
    cells = {line.label: line.cells for line in table.lines}
    assert cells["E"]["params_m"].status == "not run"
    assert cells["E"]["params_m"].published == "13.9"
    assert cells["D"]["throughput_ratio"].status == "oom"


def test_ranks_have_interval_and_n(table):
    proxy = next(r for r in table.ranks if r.name.startswith("proxy top-1"))
    assert proxy.agreement.n == 3
    # A 50, B 52, C 40 against 75.4, 77.5, 76.2: A and C disagree, the other two pairs agree
    assert proxy.agreement.tau == pytest.approx(1 / 3)
    assert {r.name.split(" against")[0] for r in table.ranks} == {
        "measured images/s", "proxy top-1", "predicted top-1", "FLOPs"
    }  # fmt: skip


def trained_at(shares: dict[str, float]) -> AblationTable:
    """Rows trained to these shares of 2,000 held-out images of ten classes."""
    rows = {c.label: c for c in SWEEP.candidates}
    records = [
        Record(
            label=label, digest=rows[label].digest, arch=rows[label].to_dict(), phase="proxy",
            status="complete", values={"top1_percent": top1, "held_out_images": 2000.0},
            details={"classes": 10}, budget=3200.0,
        )
        for label, top1 in shares.items()
    ]  # fmt: skip
    return build_ablation_table(SWEEP, records, {})


def test_seeds_that_were_asked_for_but_not_trained_yet_tell_nothing(table):
    asked = replace(SWEEP, spec=SWEEP.spec.model_copy(update={"seeds": list(range(40))}))
    begun = build_ablation_table(asked, some_records(), {})
    # each row has one seed so far; forty would tell half a point, and B's +2.0 from its +2.1 too
    assert verdict(begun, "B", "top1_difference") == verdict(table, "B", "top1_difference")


@pytest.mark.parametrize(
    ("seeds", "said"),
    [([0, 1], "[0, 1]"), (list(range(30)), "0 to 29"), ([9, *range(6)], "[9, 0, 1, 2, 3, 4, 5]")],
)
def test_many_seeds_in_a_row_are_named_by_their_ends(seeds, said):
    sweep = replace(SWEEP, spec=SWEEP.spec.model_copy(update={"seeds": seeds}))
    table = build_ablation_table(sweep, some_records(), {})
    assert any(line.endswith(f"presentations, seeds {said}") for line in table.conditions)


def test_rows_with_fewer_seeds_than_asked_for_are_named():
    sweep = replace(SWEEP, spec=SWEEP.spec.model_copy(update={"seeds": [0, 1, 2]}))
    ended: dict[str, list[Status]] = {
        "A": ["complete"] * 3,
        "B": ["complete"],
        "L": ["complete", "diverged", "diverged"],
    }
    rows = {c.label: c for c in sweep.candidates}
    top1 = {"top1_percent": 60.0, "held_out_images": 2000.0}
    records = [
        Record(
            label=label, digest=rows[label].digest, arch=rows[label].to_dict(), phase="proxy",
            status=status, seed=seed, values=top1 if status == "complete" else {}, budget=3200.0,
        )
        for label, endings in ended.items()
        for seed, status in enumerate(endings)
    ]  # fmt: skip
    said = "top-1 of fewer than the 3 seeds asked for: B 1, L 1 (2 diverged)"
    assert said in build_ablation_table(sweep, records, {}).conditions
    whole = build_ablation_table(sweep, records[:3], {}).conditions
    assert not any("fewer than the" in text for text in whole)


def test_a_row_at_chance_has_no_verdict_and_is_named():
    table = trained_at({"A": 52.0, "B": 54.0, "C": 10.8})
    assert verdict(table, "B", "top1_difference").startswith("cannot tell")
    assert verdict(table, "C", "top1_difference").startswith("not comparable: one of the two rows")
    assert "at chance, nothing learnt yet: C; train longer" in table.conditions
    table = trained_at({"A": 9.9, "B": 14.0})  # the reference itself is
    assert verdict(table, "B", "top1_difference").startswith("not comparable: one of the two rows")


def test_an_absent_row_is_set_beside_the_reference_at_its_own_resolution():
    sweep = load_sweep(SWEEPS / "vmamba_table_9.yaml")
    lines = {line.label: line.cells for line in build_ablation_table(sweep, [], {}).lines}
    # print: HiViT-T 750 and VMamba-T 947 images/s at 288
    assert lines["HiViT-T@288"]["throughput_ratio"].published == "0.792"
    assert lines["DeiT-S@288"]["throughput_ratio"].published == "0.965"


def test_of_many_rows_the_first_are_named():
    conditions = trained_at(dict.fromkeys("ABCDEFGHIJ", 10.0)).conditions
    assert "at chance, nothing learnt yet: A, B, C, D, E, F, G, H and 2 more; train longer" in (
        conditions
    )


def test_few_rounds_are_named():
    row = next(c for c in SWEEP.candidates if c.label == "D")
    few = {name: replace(m, samples=m.samples[:3]) for name, m in speed("D", 0.8).items()}
    record = Record(
        label="D", digest=row.digest, arch=row.to_dict(), phase="speed", status="complete",
        target="cpu-torch-224-b16-float32", measurements=few, details={"target_index": 0},
    )  # fmt: skip
    conditions = build_ablation_table(SWEEP, [*some_records(), record], {}).conditions
    (line,) = [text for text in conditions if text.startswith("fewer than 5 rounds")]
    assert line.startswith("fewer than 5 rounds: D; ")


def test_written_forms_agree(table):
    rows = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert [row["row"] for row in rows] == list("ABCDEFGHIJL")
    assert rows[1]["throughput_ratio_verdict"] == "matches"
    assert float(rows[0]["params_m"]) == pytest.approx(13.903842)
    text, markdown = as_text(table), as_markdown(table)
    for form in (text, markdown):
        assert "(13.0) differs by +0.1 (+0.8 %)" in form
        assert "proxy: fashion-mnist-12k, 56x56, width 0.5" in form
        assert "proxy top-1 against published top-1: tau +0.33" in form
    latex = as_latex(table)
    assert latex.count(r"\\") == 2 + 11
    assert latex.startswith("%") and "\\toprule" in latex
    head = latex.splitlines()[1].removeprefix("\\begin{tabular}{").removesuffix("}")
    assert {line.count("&") + 1 for line in latex.splitlines() if line.startswith("A ")} == {
        len(head)
    }
    json.dumps(as_data(table))
    assert asdict(table)["lines"][0]["label"] == "A"


def test_every_form_says_what_a_row_changes(table):
    changed = "mixer sa, mixer.heads 4, head.fusion none"
    rows = {row["row"]: row for row in csv.DictReader(io.StringIO(as_csv(table)))}
    assert (rows["A"]["changed"], rows["D"]["changed"]) == ("base", changed)
    assert f"] | {changed} |" in as_markdown(table)
    assert f"D & {changed} &" in as_latex(table)
    lines = as_text(table, width=80).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("D "))
    assert lines[at].split()[2:6] == ["mixer", "sa,", "mixer.heads", "4,"]
    assert lines[at + 1].startswith("   ") and "head.fusion none" in lines[at + 1]


def test_without_a_published_table_nothing_is_empty():
    spec = SWEEP.spec.to_dict() | {"published": None}
    table = build_ablation_table(sweep_of(spec), some_records(), {})
    heads = next(csv.reader(io.StringIO(as_csv(table))))
    assert not [head for head in heads if "published" in head or "verdict" in head]
    latex = as_latex(table)
    assert "ours" not in latex and not latex.startswith("%")
    widths = {line.count("&") for line in latex.splitlines() if line.endswith(r"\\")}
    assert widths == {1 + len([c for c in table.columns if c.key != "flops_exact_g"])}
    for text in (as_text(table), as_markdown(table)):
        assert "published" not in text and "verdict" not in text


@pytest.mark.parametrize("width", [80, 200])
def test_a_table_for_a_terminal_goes_on_below(table, width):
    whole, fitting = as_text(table), as_text(table, width=width)
    rows = [line for line in fitting.splitlines() if line.startswith("L ")]
    assert max(map(len, rows)) <= width < max(map(len, whole.splitlines()))
    assert sorted(set(whole.split())) == sorted(set(fitting.split()))
    assert 1 < len(rows) < 9


def test_a_count_that_differs_has_its_known_reason_below():
    sweep = load_sweep(SWEEPS / "efficientvim_table_b.yaml")
    rows = {c.label: c for c in sweep.candidates}
    records = [
        Record(
            label=label,
            digest=rows[label].digest,
            arch=rows[label].to_dict(),
            phase="count",
            status="complete",
            values={"params": params, "macs_exact": 1e9},
        )
        for label, params in (("2", 19.6e6), ("4", 21.3e6))
    ]
    (line,) = [
        c for c in build_ablation_table(sweep, records, {}).conditions if c.startswith("params_m")
    ]
    assert line.startswith("params_m of 2 differs from print: 19.6M without and 21.2M with")
