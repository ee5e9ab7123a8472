"""The ablation table as data: measured and published side by side, with a verdict each."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from evnas.papers.known_differences import known_reason
from evnas.papers.published import PublishedRow, published_table
from evnas.record import Record, mixed_machines
from evnas.report.table.cautions import about_speeds, about_trainings, first_named
from evnas.report.table.cells import data_name
from evnas.report.table.rankings import Ranking, compare_rankings
from evnas.report.table.row_records import RowRecords
from evnas.report.table.rows import TableColumn, TableRow, fill_cells, list_columns
from evnas.report.table.speed_cells import halved_batches
from evnas.sweep.candidate import Candidate
from evnas.sweep.parts import is_openvino_device
from evnas.sweep.sweep import Sweep
from evnas.words import counted

MOST_SEEDS_NAMED = 5
"""Above a table; of more, in a row, the first and the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationTable:
    """The whole table."""

    title: str
    reference: str
    columns: Sequence[TableColumn]
    lines: Sequence[TableRow]
    conditions: Sequence[str] = ()
    """What stands above the table: targets, proxy, machine."""

    ranks: Sequence[Ranking] = ()

    def prints(self, key: str) -> bool:
        """Whether any row has a printed figure in a column, or a verdict on one."""
        cells = [line.cells[key] for line in self.lines]
        return any(cell.published or cell.verdict.kind for cell in cells)

    def footnotes(self) -> frozenset[str]:
        """Reasons of verdicts that are said once, below: of what does not compare, and of several
        cells."""
        verdicts = [cell.verdict for line in self.lines for cell in line.cells.values()]
        times = Counter(v.reason for v in verdicts if v.kind == "cannot tell")
        below = {v.reason for v in verdicts if v.kind == "not comparable"}
        return frozenset(below | {reason for reason, n in times.items() if n > 1})


def build_ablation_table(
    sweep: Sweep, records: Iterable[Record], environment: Mapping[str, object]
) -> AblationTable:
    """The table of a study.

    Args:
        environment: what the study noted of the machine.
    """
    spec = sweep.spec
    results = RowRecords(sweep, list(records))
    printed: Mapping[str, PublishedRow] = {}
    if spec.published is not None:
        printed = published_table(spec.published.paper, spec.published.table)
    columns = list_columns(sweep, printed)
    lines = [
        TableRow(
            label=candidate.label,
            changed=candidate.changes(sweep.base),
            note=_note(results, candidate),
            cells=fill_cells(results, candidate, printed=printed, columns=columns),
        )
        for candidate in sweep.candidates
    ]
    return AblationTable(
        title=spec.title or spec.name,
        reference=sweep.reference.label,
        columns=columns,
        lines=lines,
        conditions=[
            *_conditions(results, columns, environment),
            *_known_differences(lines, list(sweep.candidates), printed),
        ],
        ranks=compare_rankings(sweep, columns, lines),
    )


def _note(results: RowRecords, candidate: Candidate) -> str:
    """What stands beside a row: why it is absent, what the file says, a batch that was halved."""
    said = (candidate.absent or candidate.note, halved_batches(results, candidate))
    return "; ".join(text for text in said if text)


def _conditions(
    results: RowRecords, columns: Sequence[TableColumn], environment: Mapping[str, object]
) -> list[str]:
    spec = results.sweep.spec
    found = []
    cpu = environment.get("cpu")
    if isinstance(cpu, Mapping):
        found.append(f"machine: {cpu.get('model')}, {counted(cpu.get('cores', 0), 'core')}")
    speeds = [r for r in results.records if r.on is not None]
    for target, index in dict.fromkeys((r.target, r.details.get("target_index")) for r in speeds):
        number = f", target {index + 1}" if index is not None and _has_several(results) else ""
        beside = f"in alternation with row {results.sweep.reference.label}"
        found.append(f"speed{number}: {target}, {beside}")
    found += [*_about_targets(results), *mixed_machines(speeds)]
    if any("base_latency_ms" in r.measurements for r in speeds):
        found.append(
            f"speed of row {results.sweep.reference.label}: its samples from all alternations"
        )
    methods = (r.details.get("conditions", {}).get("peak_mib_method") for r in speeds)
    if any(column.key == "peak_mib" for column in columns):
        found += [f"peak memory: {method}" for method in dict.fromkeys(methods) if method]
    found += about_speeds(speeds)
    if spec.proxy is not None:
        p = spec.proxy
        found.append(
            f"proxy: {data_name(p.data)}, {p.resolution}x{p.resolution}, width {p.width:g}, "
            f"stem stride {p.stem_stride}, {p.presentations} image presentations, "
            f"seeds {_spelt_seeds(spec.seeds)}"
        )
    if spec.predict is not None:
        found.append(_about_predictions(results))
    trained = {c.label: results.of(c, "proxy") for c in results.sweep.candidates}
    return [*found, *about_trainings(trained), *_about_seeds(trained, len(spec.seeds))]


def _about_seeds(trained: Mapping[str, Sequence[Record]], asked: int) -> list[str]:
    """Which rows' top-1 is of fewer seeds than the sweep asks for, and how the others ended."""
    fewer = []
    for label, records in trained.items():
        have = sum("top1_percent" in r.values for r in records)
        if 0 < have < asked:
            endings = Counter(r.status for r in records if "top1_percent" not in r.values)
            others = ", ".join(f"{n} {status}" for status, n in endings.items())
            fewer.append(f"{label} {have}" + (f" ({others})" if others else ""))
    if not fewer:
        return []
    return [f"top-1 of fewer than the {counted(asked, 'seed')} asked for: {first_named(fewer)}"]


def _spelt_seeds(seeds: Sequence[int]) -> str:
    """All of a few; the ends of many in a row."""
    first, last = min(seeds), max(seeds)
    if len(seeds) > MOST_SEEDS_NAMED and list(seeds) == list(range(first, last + 1)):
        return f"{first} to {last}"
    return str(list(seeds))


def _about_predictions(results: RowRecords) -> str:
    """What the predicted top-1 is, and how far it reaches."""
    records = [r for r in results.records if r.phase == "predict" and r.status == "complete"]
    held_out = dict.fromkeys(name for r in records for name in r.details["held_out"])
    outside = list(dict.fromkeys(r.label for r in records if r.details["outside"]))
    text = (
        "predicted top-1: of ImageNet, from counts and signals of the untrained model, "
        "between 90 % bounds; differences between 95 %"
    )
    if held_out:
        text += f"; the predictor does not know printed rows of {', '.join(held_out)}"
    return text + (f"; outside what is known: {first_named(outside)}" if outside else "")


def _known_differences(
    lines: Sequence[TableRow], candidates: Sequence[Candidate], printed: Mapping[str, PublishedRow]
) -> list[str]:
    """Why counts differ from print, where that is known; each reason once, with its rows."""
    rows: dict[tuple[str, str], list[str]] = {}
    for line, candidate in zip(lines, candidates, strict=True):
        row = printed.get(candidate.published)
        for quantity in ("params_m", "flops_g"):
            if row and line.cells[quantity].verdict.kind == "differs":
                reason = known_reason(row, quantity) or "no reason is known"
                rows.setdefault((quantity, reason), []).append(line.label)
    return [
        f"{quantity} of {', '.join(labels)} differs from print: {reason}"
        for (quantity, reason), labels in rows.items()
    ]


def _has_several(results: RowRecords) -> bool:
    return len(results.sweep.spec.targets) > 1


def _about_targets(results: RowRecords) -> list[str]:
    """What a target's columns do not show: that it was not here, is another one at the same time,
    or took smaller images."""
    measured = {r.details.get("target_index") for r in results.records if r.on is not None}
    found = []
    for i, target in enumerate(results.sweep.spec.targets):
        name = f"target {i + 1}, {target.name or target.device},"
        same = None if i in measured else _timed_as(results, i)
        if same is not None:
            found.append(
                f"{name} is target {same + 1} on this machine, and was timed once as that"
            )
        elif measured and i not in measured and _may_be_missing(target.device):
            found.append(f"{name} was not here: nothing was measured on it")
        if target.resolution_scale < 1:
            found.append(f"{name} timed each row at {target.resolution_scale:.2g} of its side")
    return found


def _may_be_missing(device: str) -> bool:
    return device.startswith("cuda") or is_openvino_device(device)


def _timed_as(results: RowRecords, index: int) -> int | None:
    """The target that one without a record of its own is on this machine; None where nobody can
    tell."""
    mine = results.sweep.spec.targets[index].spelt()
    for record in results.records:
        on, place = record.on, record.details.get("target_index")
        if on is None or place is None:
            continue
        here = replace(
            mine,
            device=on.device if mine.device == "auto" else mine.device,
            batch_size=on.batch_size if mine.batch_size == "auto" else mine.batch_size,
        )
        if here.id == on.id:
            return int(place)
    return None
