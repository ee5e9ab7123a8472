"""Table C's top-1, predicted, trained and printed: `python benchmarks/table_c_accuracy.py`.

Recomputes a section of docs/reference/proxy.md (`--write`) from the study in results/reference: a
row's three top-1 side by side with what each can tell of its difference to row A, what the seeds
can detect, and how each orders the rows.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evnas.record import Record
from evnas.report.frame.accuracy import paired_by_seed
from evnas.report.table.ablation import AblationTable, build_ablation_table
from evnas.report.table.cells import Cell, parse_number
from evnas.stats.rank_correlation import Agreement, kendall
from evnas.store import Store
from evnas.sweep.detectable import DetectableDifferences, detectable_differences
from evnas.sweep.sweep import Sweep, sweep_of
from evnas.words import counted

sys.path.append(str(Path(__file__).parent / "training_study"))

from page_section import write_section

ROOT = Path(__file__).parents[1]
STUDY = ROOT / "results/reference/table_c_cpu_2026-11-29"
PAGE, SECTION = ROOT / "docs/reference/proxy.md", "figures of Table C"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedTable:
    """An ablation that was predicted and trained beside a printed one."""

    sweep: Sweep
    table: AblationTable
    trainings: Sequence[Record]
    detectable: DetectableDifferences

    @classmethod
    def read(cls, study: Path) -> "TrainedTable":
        """Of a study's folder.

        Raises:
            StoreError: none is there.
        """
        with Store.read(study / "study.db") as store:
            sweep = sweep_of(store.meta("sweep"))
            records = [record for _, record in store.records()]
            environment = store.meta("environment") or {}
        power = detectable_differences(sweep, records)
        assert power is not None, f"{study} must train its rows"
        return cls(
            sweep=sweep,
            table=build_ablation_table(sweep, records, environment),
            trainings=[record for record in records if record.phase == "proxy"],
            detectable=power,
        )

    def of_row(self, label: str) -> list[Record]:
        """A row's trainings by seed, those that diverged among them."""
        own = (record for record in self.trainings if record.label == label)
        return sorted(own, key=lambda record: record.seed)

    def seeds_beside_reference(self, label: str) -> int:
        """Seeds that gave a row and the reference a top-1, both."""
        return len(paired_by_seed(self.of_row(label), self.of_row(self.table.reference)))

    @property
    def seed_counts(self) -> list[int]:
        """Each number of seeds that rows were trained with, those that diverged among them."""
        return sorted({len(self.of_row(line.label)) for line in self.table.lines})

    @property
    def shared_seeds(self) -> list[int]:
        """Seeds that every row was trained with."""
        each = ({record.seed for record in self.of_row(line.label)} for line in self.table.lines)
        return sorted(set.intersection(*each))

    def column(self, key: str) -> list[float | None]:
        """The measured values of a column, row by row."""
        return [line.cells[key].value for line in self.table.lines]

    def of_seed(self, seed: int) -> list[float | None]:
        """Each row's top-1 with one seed."""
        found = {
            record.label: record.values.get("top1_percent")
            for record in self.trainings
            if record.seed == seed
        }
        return [found.get(line.label) for line in self.table.lines]

    @property
    def printed(self) -> list[float | None]:
        """Top-1 in print, row by row."""
        cells = (line.cells["top1_percent"] for line in self.table.lines)
        return [parse_number(cell.published) for cell in cells]


def section(found: TrainedTable) -> str:
    """What stands in the page."""
    power, seeds = found.detectable, found.seed_counts
    noise = power.noise
    detected = ", ".join(
        f"{noise.smallest_difference(n):.1f} points by {counted(n, 'seed')}" for n in seeds
    )
    head = (
        f"Every row was trained with {one_of(seeds)} seeds, "
        f"{power.presentations:,} presentations each. Beyond what a seed does to all rows alike, "
        f"a training scatters by {noise.sd_percent:.2f} points ({noise.source}), so differences "
        f"can be detected from {detected}."
    )
    columns = (
        f"Differences are to row {found.table.reference}: predicted between 95 % bounds, trained "
        "seed by seed on the same images, with the 95 % interval of that noise."
    )
    return "\n\n".join([head, columns, _rows(found), _needed(found), _orders(found)])


def one_of(numbers: Sequence[int]) -> str:
    """`3, 5 or 30`."""
    *others, last = map(str, numbers)
    return f"{', '.join(others)} or {last}" if others else last


def _rows(found: TrainedTable) -> str:
    lines = [
        "| row | printed | predicted [90 %] | trained [95 %] | seeds | less A: printed "
        "| predicted | trained |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for line in found.table.lines:
        cells = line.cells
        apart = cells["top1_difference"]
        is_reference = line.label == found.table.reference
        lines.append(
            f"| {line.label} | {cells['top1_percent'].published} "
            f"| {_level(cells['predicted_top1_percent'])} | {_level(cells['top1_percent'])} "
            f"| {_seeds(found.of_row(line.label))} | {'' if is_reference else apart.published} "
            f"| {'' if is_reference else _apart(cells['predicted_top1_difference'])} "
            f"| {'' if is_reference else _apart(apart)} |"
        )
    return "\n".join(lines)


def _level(cell: Cell) -> str:
    if cell.value is None:
        return cell.status
    return f"{cell.value:.1f} [{cell.low:.1f}, {cell.high:.1f}]"


def _apart(cell: Cell) -> str:
    if cell.value is None:
        return cell.status
    said = f"{cell.value:+.1f} [{cell.low:+.1f}, {cell.high:+.1f}]"
    return f"{said} {cell.verdict.kind}".rstrip()


def _seeds(trainings: Sequence[Record]) -> str:
    lost = sum(record.status == "diverged" for record in trainings)
    return f"{len(trainings)}, {lost} diverged" if lost else str(len(trainings))


def _needed(found: TrainedTable) -> str:
    """What would tell the printed differences."""
    noise, told, others, none = found.detectable.noise, [], [], []
    for label, difference in found.detectable.printed.items():
        seeds = found.seeds_beside_reference(label)
        if seeds and abs(difference) >= noise.smallest_difference(seeds):
            told.append(label)
        elif difference:
            others.append(f"{label} {noise.seeds_for(difference):,}")
        else:
            none.append(label)
    detected = ", ".join(told) or "none"
    said = [f"Printed differences that the seeds of both rows can detect: {detected}."]
    if others:
        said.append(f"Seeds that the others would need: {', '.join(others)}.")
    if none:
        said.append(f"No difference is printed for {', '.join(none)}.")
    return " ".join(said)


def _orders(found: TrainedTable) -> str:
    first, shared = found.sweep.spec.seeds[0], found.shared_seeds
    means = [_mean(of) for of in zip(*map(found.of_seed, shared), strict=True)]
    orders = {
        "predicted top-1, which knows no row of EfficientViM": found.column(
            "predicted_top1_percent"
        ),
        "FLOPs": found.column("flops_g"),
        f"top-1 trained, seed {first} alone": found.of_seed(first),
        f"top-1 trained, mean of the {counted(len(shared), 'seed')} that all rows have": means,
    }
    lines = ["| orders the rows by | tau with the printed top-1 |", "| --- | --- |"]
    lines += [f"| {name} | {_spelt(kendall(of, found.printed))} |" for name, of in orders.items()]
    return "\n".join(lines)


def _mean(of_seeds: Sequence[float | None]) -> float | None:
    known = [top1 for top1 in of_seeds if top1 is not None]
    return statistics.mean(known) if known else None


def _spelt(found: Agreement | None) -> str:
    if found is None:
        return "too few"
    return f"{found.tau:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def main() -> None:
    """Print the section, or put it where it belongs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path, nargs="?", default=STUDY)
    parser.add_argument("--write", action="store_true", help="into docs/reference/proxy.md")
    given = parser.parse_args()
    text = section(TrainedTable.read(given.study))
    print(text)
    if given.write:
        write_section(PAGE, SECTION, text)


if __name__ == "__main__":
    main()
