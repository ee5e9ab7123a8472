"""Accuracy of models on the same held-out images, each beside the first, image by image."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from evnas.blocks.backbone import build
from evnas.blocks.fill import fill
from evnas.errors import DataError, SpecError
from evnas.evaluate.answers import TOP, Answers, Logits, answers_of
from evnas.evaluate.exported import ExportedFile
from evnas.evaluate.images import labelled_batches, pixels_of, training_pixels
from evnas.evaluate.printed import PrintedAccuracy, printed_top1
from evnas.evaluate.running import Running
from evnas.evaluate.subject import Subject
from evnas.measure.runtimes.deployed_form import deployed_form
from evnas.measure.target import Target
from evnas.measure.timing.device_lock import kept_from_measurements
from evnas.runtime import Form, Pictures, Precision
from evnas.stats.interval import Interval
from evnas.stats.proportions import (
    PairedShares,
    paired_shares,
    share_percent,
    student_mean,
)
from evnas.tables import RUNTIMES, chooses
from evnas.train.data import ImageData, is_stream
from evnas.train.loaders import View
from evnas.words import counted

BATCH = 64
CALIBRATION_IMAGES = 64
"""Training images whose activations set the scales of a runtime in int8."""
FILE = "file"
"""What stands for form, runtime and precision of an exported file: its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a model is run."""

    form: Form = "plain"
    runtime: str = "torch"
    precision: Precision = "float32"
    device: str = "cpu"
    batch_size: int = BATCH


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """One model at one resolution, run in one way."""

    subject: Subject
    resolution: int
    form: str
    runtime: str
    precision: str
    device: str
    answers: Answers
    printed: Sequence[PrintedAccuracy] = ()
    beside: PairedShares | None = None
    """Top-1 beside the first model's on the same images; None of the first, and where either has
    logits that are not finite."""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def not_finite(self) -> int:
        """Images with a logit that is NaN or infinite."""
        return int((~self.answers.finite).sum())

    @property
    def top1(self) -> Interval | None:
        """Percent with Wilson's interval; None where a logit of any image is not finite."""
        return self._share(self.answers.right)

    @property
    def top5(self) -> Interval | None:
        """The same of the five likeliest; None too where there are five classes or fewer."""
        return self._share(self.answers.right_in_five) if self.answers.classes > TOP else None

    @property
    def loss(self) -> Interval | None:
        """Cross-entropy in nats, Student's interval over images; None as top-1."""
        return None if self.not_finite else student_mean(self.answers.loss)

    def per_class(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Top-1 of each class's images with Wilson's interval, by `names` in the labels' order."""
        found = []
        for label, name in enumerate(names):
            mine = self.answers.labels == label
            images, lost = int(mine.sum()), int((mine & ~self.answers.finite).sum())
            right = int((mine & self.answers.right).sum())
            top1 = share_percent(right, images).to_dict() if images and not lost else None
            found.append(
                {"class": name, "images": images, "not_finite": lost, "top1_percent": top1}
            )
        return found

    def _share(self, right: Any) -> Interval | None:
        return None if self.not_finite else share_percent(int(right.sum()), len(right))

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        spans = {"top1_percent": self.top1, "top5_percent": self.top5, "loss": self.loss}
        return {
            "name": self.subject.name,
            "file": str(self.subject.file),
            "digest": self.subject.arch.digest if self.subject.arch else None,
            "resolution": self.resolution,
            "form": self.form,
            "runtime": self.runtime,
            "precision": self.precision,
            "device": self.device,
            "view": asdict(replace(self.subject.view, resolution=self.resolution)),
            "images": len(self.answers),
            "classes": self.answers.classes,
            "not_finite": self.not_finite,
            **{key: span.to_dict() if span else None for key, span in spans.items()},
            "forward_img_s": self.answers.forward_img_s,
            "batch_size": self.answers.batch_size,
            "printed": [printed.to_dict() for printed in self.printed],
            "beside_the_first": _beside_dict(self.beside),
            "facts": self.facts,
            **({"from": dict(self.subject.origin)} if self.subject.origin else {}),
        }


def evaluate(
    subject: Subject,
    images: ImageData,
    way: Way,
    *,
    resolution: int | None = None,
    workers: int = 0,
    skip_broken: bool = False,
    first: Evaluated | None = None,
) -> Evaluated:
    """Run one model over all held-out images.

    Args:
        resolution: side of the images in pixels; None for the subject's own.
        workers: processes that load images; 0 loads within this one.
        skip_broken: leave out images that cannot be read, for every model alike.
        first: what the answers are set beside.

    Raises:
        DataError: an image or the weights cannot be read or do not fit, or the classes differ.
        MeasurementError: the model cannot be run so.
        SpecError: an exported file was asked to be run in another way than its own.
    """
    view = replace(subject.view, resolution=resolution or subject.view.resolution)
    label_of = labels_for(subject, images)
    ran = (
        _of_file(subject, way, view)
        if subject.is_exported
        else _of_weights(subject, images, way, view)
    )
    found = answers_of(
        ran.logits_of,
        labelled_batches(
            images,
            view,
            batch_size=ran.batch_size,
            workers=workers,
            skip_broken=skip_broken,
            label_of=label_of,
        ),
        batch_size=ran.batch_size,
        where=subject.name,
    )
    result = Evaluated(
        subject=subject,
        resolution=view.resolution,
        form=ran.form,
        runtime=ran.runtime,
        precision=ran.precision,
        device=ran.device,
        answers=found,
        printed=printed_top1(subject.known, view.resolution),
        facts=ran.facts,
    )
    return result if first is None else beside(result, first)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ran:
    """A model that is ready to answer, and how it is run."""

    logits_of: Logits
    form: str
    runtime: str
    precision: str
    device: str
    batch_size: int
    facts: dict[str, Any] = field(default_factory=dict)


def beside(mine: Evaluated, first: Evaluated) -> Evaluated:
    """The same with its top-1 beside the first's, where both are known of every image."""
    if mine.not_finite or first.not_finite:
        return mine
    return replace(mine, beside=paired_shares(mine.answers.right, first.answers.right))


def labels_for(subject: Subject, images: ImageData) -> list[int] | None:
    """The model's class of each class of the images; None where they are taken to be the same.

    Where both have names, classes are matched by them, and images may be of some of the model's.

    Raises:
        DataError: the images have a class that the model lacks, or another number of classes.
    """
    if subject.classes and images.classes:
        place = {name: i for i, name in enumerate(subject.classes)}
        missing = [name for name in images.classes if name not in place]
        if not missing:
            return [place[name] for name in images.classes]
        more = f" and {len(missing) - 1} more" if missing[1:] else ""
        raise DataError(
            f"{images.name} holds the class {missing[0]}{more} that {subject.name} was not "
            f"trained on: it knows {', '.join(subject.classes[:3])}"
            f"{', ...' if subject.classes[3:] else ''}"
        )
    theirs = len(images.classes)
    if subject.arch is not None and theirs and subject.arch.num_classes != theirs:
        raise DataError(
            f"{images.name} holds {counted(theirs, 'class', 'classes')} and {subject.name} tells "
            f"{subject.arch.num_classes} apart, whose names are not recorded; they must be as many"
        )
    return None


def _of_weights(subject: Subject, images: ImageData, way: Way, view: View) -> _Ran:
    if chooses(way.runtime):
        raise SpecError(
            f"runtime {way.runtime} takes another for each model by speed; name one to evaluate in"
        )
    target = Target(
        device=way.device,
        runtime=way.runtime,
        resolution=view.resolution,
        batch_size=way.batch_size,
        precision=way.precision,
        form=way.form,
    ).resolved()
    assert subject.arch is not None
    impl: Any = "reference" if RUNTIMES.get(way.runtime).plain_operators else "auto"
    model = build(subject.arch, impl=impl, seed=0)
    fill(model, subject.state, where=f"{subject.file} does not fit the model")
    model.eval()
    device = torch.device(target.device)
    with kept_from_measurements(target.host_device):
        ready = deployed_form(model, target) if way.form == "deployed" else model
        running = Running(ready.to(device), target, lambda: _pictures(images, view, way))
    return _Ran(
        logits_of=running,
        form=way.form,
        runtime=way.runtime,
        precision=way.precision,
        device=target.device,
        batch_size=way.batch_size,
        facts=dict(running.facts),
    )


def _of_file(subject: Subject, way: Way, view: View) -> _Ran:
    if (way.form, way.runtime, way.precision) not in (
        ("plain", "torch", "float32"),
        ("deployed", "onnx", "float32"),
    ):
        raise SpecError(
            f"{subject.file} is run as it is, by ONNX Runtime, so it takes no --form, --runtime "
            "or --precision"
        )
    file = ExportedFile(subject.file)
    file.must_take(view.resolution)
    return _Ran(
        logits_of=file,
        form=str(file.said().get("form") or FILE),
        runtime=FILE,
        precision=FILE,
        device="cpu",
        batch_size=file.batch_size or way.batch_size,
    )


def _pictures(images: ImageData, view: View, way: Way) -> Pictures:
    """Training images for calibration, and held-out ones, in whole batches."""
    count = way.batch_size * max(1, CALIBRATION_IMAGES // way.batch_size)
    if is_stream(images.held_out):
        raise DataError(f"runtime {way.runtime} needs images that can be picked, got a stream")
    return Pictures(
        name=images.name,
        calibration=training_pixels(images.name, view, count=count),
        held_out=pixels_of(images.held_out, view, count=count),
    )


def _beside_dict(found: PairedShares | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "top1_difference_percent": found.difference_percent.to_dict(),
        "only_this_right": found.only_first,
        "only_the_first_right": found.only_second,
        "mcnemar_p": found.p_value,
    }
