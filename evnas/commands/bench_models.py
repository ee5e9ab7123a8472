"""Models as `evnas bench` is asked for them: catalogue, file, timm, or a study's trials."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evnas.api import recorded
from evnas.commands.named import must_have_a_study, picked_from
from evnas.errors import SpecError, nearest
from evnas.store import Store


def models_of(names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Name -> architecture as records keep it, in order; one that is named twice stands twice.

    Raises:
        SpecError: nobody has one of them.
        StoreError: a study cannot be read.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for name in names:
        for each, arch in _meant(name).items():
            found[_free(each, found)] = arch
    return found


def add_picked(
    models: dict[str, Mapping[str, Any]], study: Path | None, picks: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Add a study's picked trials behind the models; name -> where each came from.

    Raises:
        SpecError: a study without picks or the other way round, or no such trial.
        StoreError: the study cannot be read.
    """
    if study is None:
        must_have_a_study(picks)
        return {}
    origins = {}
    for pick in picks or (None,):
        found = picked_from(study, pick)
        name = _free(found.name, models)
        models[name] = found.arch
        origins[name] = found.to_dict()
    return origins


def _meant(name: str) -> dict[str, Mapping[str, Any]]:
    place = place_of(name)
    if place is None:
        return {name: recorded(name)}
    file, trial = place
    folder = name.rpartition(":")[0]
    with Store.read(file) as store:
        archs = {record.label: record.arch for _, record in store.records()}
    if trial != "front":
        if trial not in archs:
            hint = nearest(trial, archs) or f"; {_way_out(folder, trial, list(archs))}"
            raise SpecError(f"{folder} has no trial or row {trial!r}{hint}")
        return {name: archs[trial]}
    from evnas.report.query.pick import front_labels  # reports are heavy, and few names need them

    labels = front_labels(Path(folder))
    if not labels:
        raise SpecError(f"{folder} has no front; {folder}:TRIAL names one of its trials or rows")
    return {f"{folder}:{label}": archs[label] for label in labels}


def place_of(name: str) -> tuple[Path, str] | None:
    """The study's file and the label, of a model that is called STUDY:TRIAL; None of others."""
    folder, colon, label = name.rpartition(":")
    file = Path(folder) / "study.db"
    return (file, label) if colon and file.exists() else None


def _free(name: str, taken: Mapping[str, object]) -> str:
    """The name, with a number where it stands already."""
    number, free = 2, name
    while free in taken:
        free, number = f"{name} ({number})", number + 1
    return free


def _way_out(folder: str, trial: str, labels: Sequence[str]) -> str:
    from evnas.report.query.pick import NAMED  # numpy and more, for a mistake alone
    from evnas.report.table.cautions import first_named

    if trial in NAMED:
        return f"--from {folder} --pick {trial} is how to ask for it"
    return f"it has {first_named(labels)}" if labels else "it has none yet"
