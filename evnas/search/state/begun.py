"""What an earlier version left unsaid: a study goes on with what it began with."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evnas.store import Store
from evnas.sweep.parts import GRAPH, TargetSpec, takes_a_graph
from evnas.sweep.search_spec import SearchSpec
from evnas.sweep.strategy_spec import VERSION, as_written_now
from evnas.sweep.sweep import Sweep
from evnas.tables import RUNTIMES, chooses

NOTED = "runtimes"
"""Under this a study keeps what its `best` chooses among."""


def on_this_machine(sweep: Sweep) -> Sweep:
    """The sweep with a captured graph where `auto` is a GPU here, for deployed forms whose file
    names no runtime; one that names the GPU has it already."""
    targets = list(sweep.spec.targets)
    for i, target in enumerate(targets):
        if target.device == "auto" and "runtime" not in target.model_fields_set:
            as_it_is = target.model_dump(include={"kind", "form", "mode"})
            if takes_a_graph({**as_it_is, "device": _auto_here()}):
                targets[i] = target.model_copy(update={"runtime": GRAPH})
    return replace(sweep, spec=sweep.spec.model_copy(update={"targets": tuple(targets)}))


def _auto_here() -> str:
    from evnas.measure.target import Target  # torch knows

    return Target().resolved().device


def _is_open(sweep: Sweep, index: int, file: Any) -> bool:
    """Whether neither the file nor `--set` names a target's runtime."""
    places = ("targets=", f"targets[{index}]", "targets[*]")
    named = _is_overridden(sweep, places, "runtime")
    return isinstance(file, Mapping) and "runtime" not in file and not named


def _is_overridden(sweep: Sweep, places: tuple[str, ...], key: str) -> bool:
    """Whether a `--set` that begins with one of `places` says something of `key`."""
    texts = (text.removeprefix("--set ") for text in sweep.document.overridden.values())
    return any(text.startswith(places) and key in text for text in texts)


def as_begun(sweep: Sweep, path: Path) -> tuple[Sweep, list[str]]:
    """The sweep with the runtime and form that its study has, for targets whose file names none,
    and with the version of its strategy.

    Args:
        path: of the study's store, which may not be there.

    Returns:
        The sweep, and a sentence for each thing that is not as a new study's would be.
    """
    if not path.exists():
        return sweep, []
    with Store.read(path) as store:
        identity = store.meta("identity") or {}
    sweep, strategy_notes = _of_strategy(sweep, identity.get("strategy"))
    before = identity.get("targets") or []
    said = sweep.document.data.get("targets", [{}])
    targets, notes = list(sweep.spec.targets), []
    for i, (target, file, old) in enumerate(zip(targets, said, before, strict=False)):
        kept = _kept(target, file, old, is_open=_is_open(sweep, i, file))
        if kept:
            targets[i] = target.model_copy(update=kept)
            measured = " and ".join(f"{key} {value}" for key, value in kept.items())
            notes.append(
                f"targets[{i}] goes on with {measured}, as the study began; a new study, by "
                f"--fresh or --name, would take {_differs(target, kept)}"
            )
    spec = sweep.spec.model_copy(update={"targets": tuple(targets)})
    return replace(sweep, spec=spec), strategy_notes + notes


def _of_strategy(sweep: Sweep, old: Mapping[str, Any] | None) -> tuple[Sweep, list[str]]:
    """The sweep with its study's version of the strategy, where neither its file nor `--set`
    says one."""
    file = sweep.document.data.get("strategy")
    named = isinstance(file, Mapping) and VERSION in file
    if old is None or named or _is_overridden(sweep, ("strategy",), VERSION):
        return sweep, []
    spec = sweep.spec
    was = as_written_now(old)
    if not isinstance(spec, SearchSpec) or was["kind"] != spec.strategy.kind:
        return sweep, []
    now, then = getattr(spec.strategy, VERSION, None), was.get(VERSION)
    if now == then:
        return sweep, []
    kept = spec.strategy.model_copy(update={VERSION: then})
    note = (
        f"strategy {spec.strategy.kind} goes on in version {then}, as the study began; a new "
        f"study, by --fresh or --name, would take version {now}"
    )
    return replace(sweep, spec=spec.model_copy(update={"strategy": kept})), [note]


def choices(
    store: Store, here: Sequence[str], versions: Mapping[str, str]
) -> tuple[Any, list[str]]:
    """What `best` chooses among in a study, noted when it begins; and what to say where this
    machine has others or other versions by now.

    Args:
        here: runtimes that are here.
        versions: of the packages that decide who is fastest.
    """
    noted = store.meta(NOTED)
    if noted is None:
        store.note(NOTED, {"among": list(here), "versions": dict(versions)})
        return tuple(here), []
    notes = []
    among, then = tuple(noted["among"]), noted["versions"]
    if set(here) - set(among):
        notes.append(
            f"runtime best chooses among {', '.join(among)}, as when the study began; "
            f"{', '.join(n for n in here if n not in among)} would join in a new study"
        )
    for name, version in then.items():
        if versions.get(name, version) != version:
            notes.append(
                f"{name} was {version} when the study began and is {versions[name]}: absolute "
                "speeds of the two need not compare"
            )
    gone = [name for name in among if name not in here]
    if gone:
        notes.append(
            f"runtime best chose among {', '.join(gone)} too when the study began, which this "
            "machine lacks: absolute speeds from now on need not compare"
        )
    return among, notes


def _kept(
    target: TargetSpec, file: Any, old: Mapping[str, Any], *, is_open: bool
) -> dict[str, Any]:
    """Of the study's target, what differs from a default of today."""
    kept: dict[str, Any] = {}
    if not isinstance(file, Mapping) or target.runtime not in RUNTIMES:
        return kept
    by_default = chooses(target.runtime) or GRAPH in (target.runtime, old.get("runtime"))
    if is_open and by_default and old.get("runtime") not in (None, target.runtime):
        kept["runtime"] = old["runtime"]
    form = RUNTIMES.get(target.runtime).form
    same = old.get("runtime") == kept.get("runtime", target.runtime)
    by_default = "form" not in file and target.form == form
    if same and by_default and old.get("form") not in (None, form):
        kept["form"] = old["form"]
    return kept


def _differs(target: TargetSpec, kept: Mapping[str, Any]) -> str:
    return " and ".join(f"{key} {getattr(target, key)}" for key in kept)
