"""From an architecture to files that ship: a folder of steps, each whole or absent.

A step's outcome is `NAME.json` in the folder, written at its end. Whoever starts again finds what
is there and goes on; a step is done again where the file that it worked on has become another.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evnas.commands.exporting import write_export
from evnas.commands.finish_report import markdown
from evnas.errors import DataError, MeasurementError
from evnas.evaluate.evaluation import Evaluated, Way, evaluate
from evnas.evaluate.held_out import held_out_images
from evnas.evaluate.subject import Subject, subject_of
from evnas.files import drafts_in, write_whole
from evnas.proxy.fingerprint import KnownImages, reading_of
from evnas.runtime import Form
from evnas.search.bench import bench, bench_target
from evnas.stats.proportions import paired_shares
from evnas.train.checkpoint import load_checkpoint
from evnas.train.config import TrainConfig, TrainResult
from evnas.train.data import ImageData, images_noted
from evnas.train.training import must_be_a_folder, train
from evnas.train.workers import image_workers

SETTINGS = "finish.json"
MODEL = "model.onnx"
ACCURACY_STEPS = ("evaluate", "deploy", "export")
"""Steps with an accuracy, each beside the one before it."""
SPEEDS = ("latency_ms", "throughput_img_s")

Tell = Callable[[str], None]
Found = dict[str, Any]


class TrainingStopped(Exception):
    """A signal ended the training; it is saved, and whoever calls again goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """What is to be done."""

    name: str
    """Of the architecture, as it was asked for."""
    training: TrainConfig
    """Its output lies in `output`, as `train/`."""
    output: Path
    batch_size: int = 64
    """Of evaluations, and of the exported file, which takes no other unless it is dynamic."""
    bench_budget_s: float = 8.0
    """Seconds for each of the three speeds, at most."""

    @property
    def resolution(self) -> int:
        """Side of the images in pixels."""
        return self.training.side

    def identity(self) -> Found:
        """What must be the same for a finish to go on, as plain data."""
        training = self.training
        named = {"weights": training.weights, "teacher_weights": training.teacher_weights}
        recipe = training.recipe.model_dump(mode="json")
        return {
            "arch": training.arch.digest,
            "data": str(training.data),
            "resolution": self.resolution,
            "seed": training.seed,
            "new_classifier": training.new_classifier,
            "frozen": list(training.frozen),
            **{name: None if path is None else str(path) for name, path in named.items()},
            **{f"recipe.{name}": value for name, value in recipe.items()},
        }


@dataclass(slots=True)
class _Folder:
    """The steps that are done, on disk."""

    path: Path
    tell: Tell
    redo: bool = False
    """Whether a step was done just now, so that all behind it are done again."""
    found: dict[str, Found] = field(default_factory=dict)

    def step(self, name: str, made_of: Mapping[str, str], do: Callable[[], Found]) -> Found:
        """The outcome of a step, found or made.

        Args:
            made_of: what it works on: name -> digest.
        """
        file = self.path / f"{name}.json"
        before = None if self.redo else _read(file)
        if (
            before is not None
            and before.get("made_of") == dict(made_of)
            and _are_whole(before, self.path)
        ):
            self.tell(f"{name}: done before")
            self.found[name] = before
            return before
        self.tell(f"{name}: begins")
        file.unlink(missing_ok=True)
        start = time.perf_counter()
        outcome = do() | {"made_of": dict(made_of)}
        outcome["seconds"] = round(time.perf_counter() - start, 3)
        write_whole(file, json.dumps(outcome, indent=1) + "\n")
        self.redo = True
        self.found[name] = outcome
        return outcome


def finish(plan: Finish, *, tell: Tell = lambda text: None) -> Found:
    """Train, evaluate, deploy, export and measure, or go on where that stopped.

    `plan.output` then holds `train/`, `model.onnx`, a JSON a step, `report.json` and `report.md`.

    Returns:
        What `report.json` holds.

    Raises:
        TrainingStopped: a signal ended the training.
        DataError: the folder holds the finish of something else, or images or weights are wrong.
        MeasurementError: the exported file does not answer as the model does, or nothing can be
            measured here.
    """
    _must_go_on(plan)
    folder = _Folder(plan.output, tell)
    digest = plan.training.arch.digest
    trained = folder.step("train", {"arch": digest}, lambda: _trained(plan, tell))
    weights = plan.output / trained["files"]["weights"]["path"]
    reading = reading_of(images_noted(plan.training.output))  # as it was trained
    images = held_out_images(plan.training.data, reading=reading)
    tell(f"images: {images}")
    subject = subject_of(weights, name=plan.name)
    made_of = {
        "weights": trained["files"]["weights"]["sha256"],
        "images": images.identify(KnownImages(fingerprint="", reading=reading)).fingerprint,
    }
    folder.step("evaluate", made_of, lambda: _evaluated(plan, subject, images, "plain"))
    folder.step("deploy", made_of, lambda: _evaluated(plan, subject, images, "deployed"))
    exported = folder.step("export", made_of, lambda: _exported(plan, subject, images))
    made_of = {"model": exported["files"]["model"]["sha256"]}
    folder.step("bench", made_of, lambda: _benched(plan, subject))
    report = _report(plan, subject, folder.found)
    write_whole(plan.output / "report.json", json.dumps(report, indent=1) + "\n")
    write_whole(plan.output / "report.md", markdown(report))
    return report


def _must_go_on(plan: Finish) -> None:
    must_be_a_folder(plan.output)
    for left in (*drafts_in(plan.output), *plan.output.glob("partial.*.onnx")):
        left.unlink()  # of a step that was killed
    path, now = plan.output / SETTINGS, plan.identity()
    before = _read(path)
    if before is None:
        about = now | {"name": plan.name, "from": dict(plan.training.origin)}
        write_whole(path, json.dumps(about, indent=1) + "\n")
        return
    for key, value in json.loads(json.dumps(now)).items():
        if before.get(key) != value:
            raise DataError(
                f"{plan.output} holds the finish of something else: {key} is {before.get(key)!r} "
                f"there and {value!r} here; name another --output"
            )


def _trained(plan: Finish, tell: Tell) -> Found:
    result = train(plan.training, tell=tell)
    _must_be_trained(result, plan.training)
    weights = load_checkpoint(plan.training.output).path
    return {
        "status": result.status,
        "epochs": result.epochs,
        "best_top1_percent": result.best("top1_percent"),
        "best_ema_top1_percent": result.best("ema_top1_percent"),
        "files": {"weights": _of_file(weights, plan.output)},
    }


def _must_be_trained(result: TrainResult, training: TrainConfig) -> None:
    if result.status == "stopped":
        raise TrainingStopped(
            f"the training in {training.output} was stopped; the same command goes on"
        )
    if result.status == "diverged":
        raise MeasurementError(
            f"the training in {training.output} diverged ({result.error}), so there is nothing to "
            "finish; lower recipe.lr, and name another --output"
        )


def _evaluated(plan: Finish, subject: Subject, images: ImageData, form: Form) -> Found:
    way = Way(form=form, device=plan.training.device, batch_size=plan.batch_size)
    found = evaluate(
        subject,
        images,
        way,
        resolution=plan.resolution,
        workers=image_workers(plan.training.workers),
        skip_broken=plan.training.skip_broken,
    )
    return _outcome(found)


def _exported(plan: Finish, subject: Subject, images: ImageData) -> Found:
    """Write the ONNX file, and evaluate the file itself."""
    assert subject.arch is not None
    partial = plan.output / f"partial.{os.getpid()}.onnx"
    try:
        written = write_export(
            subject.arch,
            partial,
            weights=subject.file,
            resolution=plan.resolution,
            batch_size=1,
            form="deployed",
            dynamic_batch=True,
            origin=plan.training.origin or None,
        )
        found = evaluate(
            subject_of(partial, name=MODEL),
            images,
            Way(batch_size=plan.batch_size),
            workers=image_workers(plan.training.workers),
            skip_broken=plan.training.skip_broken,
        )
        os.replace(partial, plan.output / MODEL)
    finally:
        partial.unlink(missing_ok=True)
    return _outcome(found) | {
        "file": MODEL,
        "bytes": written["bytes"],
        "input": written["input"],
        "files": {"model": _of_file(plan.output / MODEL, plan.output)},
    }


def _benched(plan: Finish, subject: Subject) -> Found:
    """Speed of one image: of the plain model, of the deployed one, of that in ONNX Runtime."""
    assert subject.arch is not None
    rows: list[Found] = []
    for runtime, form in (("torch", "plain"), ("torch", "deployed"), ("onnx", "deployed")):
        fields = {
            "device": plan.training.device,
            "runtime": runtime,
            "form": form,
            "resolution": plan.resolution,
            "batch_size": 1,
            "uncertainty_percent": 2.0,
            "budget_s": plan.bench_budget_s,
        }
        try:
            benched = bench(subject.arch.to_dict(), bench_target(fields)).to_dict()
        except MeasurementError as e:
            rows.append({"runtime": runtime, "form": form, "why_not": str(e)})
            continue
        speeds = {name: benched["intervals"][name] for name in SPEEDS}
        warnings = list(benched["details"]["conditions"]["warnings"])
        about = {"target": benched["target"], "warnings": warnings}
        rows.append({"runtime": runtime, "form": form} | about | speeds)
    return {"rows": rows}


def _outcome(found: Evaluated) -> Found:
    """An evaluation with which images it has right, so that a later step can be paired with it."""
    bits = np.packbits(found.answers.right).tobytes().hex()
    return found.to_dict() | {"right_hex": bits}


def _report(plan: Finish, subject: Subject, steps: Mapping[str, Found]) -> Found:
    """All steps, and what each cost in accuracy beside the step before it."""
    rows: list[Found] = []
    for name in ACCURACY_STEPS:
        step = steps[name]
        row = {key: step[key] for key in ("top1_percent", "top5_percent", "loss", "not_finite")}
        row |= {"step": name, "images": step["images"], "cost": None}
        if rows:
            row["cost"] = _cost(steps[str(rows[-1]["step"])], step)
        rows.append(row)
    kept = {
        name: {key: value for key, value in step.items() if key != "right_hex"}
        for name, step in steps.items()
    }
    return {
        "name": plan.name,
        "digest": plan.training.arch.digest,
        "trained_digest": subject.arch.digest if subject.arch else None,
        "classes": len(subject.classes),
        "from": dict(plan.training.origin),
        "data": str(plan.training.data),
        "resolution": plan.resolution,
        "accuracy": rows,
        "steps": kept,
    }


def _cost(before: Found, after: Found) -> Found | None:
    """What a step changed, image by image; None where either has logits that are not finite."""
    if before["not_finite"] or after["not_finite"]:
        return None
    found = paired_shares(_bits(after), _bits(before))
    return {
        "top1_difference_percent": found.difference_percent.to_dict(),
        "images_lost": found.only_second,
        "images_won": found.only_first,
        "loss_difference": after["loss"]["mid"] - before["loss"]["mid"],
    }


def _bits(step: Found) -> NDArray[np.bool_]:
    raw = np.frombuffer(bytes.fromhex(step["right_hex"]), dtype=np.uint8)
    return np.unpackbits(raw)[: step["images"]].astype(bool)


def _of_file(path: Path, output: Path) -> dict[str, str]:
    """A file by its place in the folder, which may be moved as a whole, and its contents."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"path": str(path.relative_to(output)), "sha256": digest}


def _are_whole(step: Found, output: Path) -> bool:
    """Whether the files that a step left are still those."""
    files = step.get("files", {}).values()
    places = [(output / file["path"], file) for file in files]
    return all(place.exists() and _of_file(place, output) == file for place, file in places)


def _read(path: Path) -> Found | None:
    """A step's JSON; None where there is none, or what is there is damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
