"""The ablation table as data: measured and published side by side, with a verdict each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evnas.record import Record
from evnas.report.cells import Cell, Results, cells_of, data_name, number
from evnas.space.published import published_table
from evnas.space.ranks import Agreement, kendall
from evnas.sweep import Sweep


@dataclass(frozen=True, slots=True)
class Column:
    """One quantity of the table."""

    key: str
    """`params_m`, `flops_g`, `throughput_img_s`, `throughput_ratio`, `top1_percent`,
    `top1_difference`; speeds of a second target and on have `@N` behind."""
    head: str
    digits: int
    signed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of the table."""

    label: str
    note: str
    cells: Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class Ranking:
    """Whether a measured quantity orders the rows as a printed one does."""

    name: str
    agreement: Agreement | None
    """Kendall's tau with its interval and n; None for fewer than three rows that have both."""

    def __str__(self) -> str:
        if self.agreement is None:
            return f"{self.name}: too few rows with both"
        a = self.agreement
        return f"{self.name}: tau {a.tau:+.2f} [{a.low:+.2f}, {a.high:+.2f}], n = {a.n}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """The whole table."""

    title: str
    reference: str
    columns: Sequence[Column]
    lines: Sequence[Line]
    conditions: Sequence[str] = ()
    """What stands above the table: targets, proxy, machine."""

    ranks: Sequence[Ranking] = ()


def ablation(
    sweep: Sweep, records: Iterable[Record], environment: Mapping[str, object]
) -> Ablation:
    """The table of a study.

    Args:
        environment: what the study noted of the machine.
    """
    spec = sweep.spec
    results = Results(sweep, list(records))
    printed = {}
    if spec.published is not None:
        printed = published_table(spec.published.paper, spec.published.table)
    lines = [
        Line(
            label=candidate.label,
            note=candidate.absent or candidate.note,
            cells=cells_of(results, candidate, printed),
        )
        for candidate in sweep.candidates
    ]
    columns = _columns(sweep)
    return Ablation(
        title=spec.title or spec.name,
        reference=sweep.reference.label,
        columns=columns,
        lines=lines,
        conditions=_conditions(results, environment),
        ranks=_rankings(sweep, columns, lines),
    )


def _rankings(sweep: Sweep, columns: Sequence[Column], lines: Sequence[Line]) -> list[Ranking]:
    """Measured against printed throughput, proxy against printed top-1, and FLOPs against both.

    Where every row has the same images, rows are ranked by their ratio to the reference, taken in
    alternation with it: the order of the absolute figures would hold the machine's drift too.
    """
    alike = all(c.resolution is None and c.batch_size is None for c in sweep.candidates)
    mine = "throughput_ratio" if alike else "throughput_img_s"
    pairs = [
        (
            f"measured {column.head} against published",
            column.key.replace("throughput_img_s", mine),
            column.key,
        )
        for column in columns
        if column.key.startswith("throughput_img_s")
    ]
    has_proxy = any(column.key == "top1_percent" for column in columns)
    if has_proxy:
        pairs.append(("proxy top-1 against published top-1", "top1_percent", "top1_percent"))
    if any(column.key == "throughput_img_s" for column in columns):
        pairs.append(("FLOPs against published images/s", "flops_g", "throughput_img_s"))
    if has_proxy:
        pairs.append(("FLOPs against published top-1", "flops_g", "top1_percent"))
    found = []
    for name, mine, theirs in pairs:
        printed = [number(line.cells[theirs].published) for line in lines]
        if any(value is not None for value in printed):
            found.append(
                Ranking(name, kendall([line.cells[mine].value for line in lines], printed))
            )
    return found


def _columns(sweep: Sweep) -> list[Column]:
    found = [Column("params_m", "params (M)", 1), Column("flops_g", "FLOPs (G)", 3)]
    if sweep.spec.convention is not None:
        found.append(Column("flops_exact_g", "FLOPs, exact (G)", 3))
    for i in range(len(sweep.spec.targets)):
        behind = f"@{i}" if i else ""
        on = f", target {i + 1}" if len(sweep.spec.targets) > 1 else ""
        found.append(Column(f"throughput_img_s{behind}", f"images/s{on}", 1))
        ratio = f"ratio to {sweep.reference.label}{on}"
        found.append(Column(f"throughput_ratio{behind}", ratio, 3))
    if sweep.spec.proxy is not None:
        found.append(Column("top1_percent", "top-1 (%)", 1))
        found.append(
            Column("top1_difference", f"top-1 less {sweep.reference.label}", 1, signed=True)
        )
    return found


def _conditions(results: Results, environment: Mapping[str, object]) -> list[str]:
    spec = results.sweep.spec
    found = []
    cpu = environment.get("cpu")
    if isinstance(cpu, Mapping):
        found.append(f"machine: {cpu.get('model')}, {cpu.get('cores')} cores")
    speeds = [r for r in results.records if r.phase == "speed"]
    for target in dict.fromkeys(r.target for r in speeds):
        found.append(f"speed: {target}, in alternation with row {results.sweep.reference.label}")
    noisy = {r.label for r in speeds if _was_noisy(r)}
    if noisy:
        found.append(
            f"not quiet: {len(noisy)} of {len(speeds)} speeds keep rounds that something else on "
            "the machine disturbed"
        )
    if spec.proxy is not None:
        p = spec.proxy
        found.append(
            f"proxy: {data_name(p.data)}, {p.resolution}x{p.resolution}, width {p.width:g}, "
            f"stem stride {p.stem_stride}, {p.presentations} image presentations, "
            f"seeds {list(spec.seeds)}"
        )
    return found


def _was_noisy(record: Record) -> bool:
    conditions = record.details.get("conditions", {})
    return any("spoiled" in warning for warning in conditions.get("warnings", []))
