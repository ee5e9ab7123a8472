"""The parts of a sweep file as data: published table, target, proxy, engine."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from evnas.arch.catalog import Family
from evnas.errors import SpecError, nearest
from evnas.papers.published import published_table
from evnas.record import TargetFields
from evnas.tables import DATASETS, RUNTIMES

CONVENTIONS: Mapping[str, Family] = {
    "EfficientViM": "efficientvim",
    "VSSD": "vssd",
    "VMamba": "vmamba",
    "EfficientVMamba": "efficientvmamba",
}
"""A paper's own way of counting FLOPs."""
Batch = Annotated[int, Field(ge=1)] | Literal["auto", "printed"]
"""Images at once; `printed` is what the published row was measured at, and `auto` where it says
nothing."""
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""What a store and every generator can hold."""
_DEVICE = r"^(auto|cpu|cuda(:\d+)?)$"
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
PATTERNS = {
    _DEVICE: "auto, cpu, cuda or cuda:N",
    NAME: "letters, digits, '_', '.' and '-'",
}


class SweepPart(BaseModel):
    """Frozen, and deaf to unknown keys: they are refused. Numbers are finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PublishedSpec(SweepPart):
    """The printed table that a sweep stands beside."""

    paper: str
    table: str = Field(coerce_numbers_to_str=True)
    convention: Family | None = None
    """How FLOPs are counted for comparison; the paper's own unless given."""

    @model_validator(mode="after")
    def _is_printed(self) -> Self:
        try:
            published_table(self.paper, self.table)
        except SpecError as e:
            raise ValueError(e.reason) from None
        return self


def _known_runtime(name: str) -> str:
    if name not in RUNTIMES:
        known = ", ".join(RUNTIMES)
        raise ValueError(f"must be one of {known}, got {name!r}{nearest(name, RUNTIMES)}")
    return name


def _no_default(schema: dict[str, Any]) -> None:
    """Of a key whose default other keys decide."""
    schema.pop("default", None)


def _name_runtimes(schema: dict[str, Any]) -> None:
    _no_default(schema)
    schema["enum"] = list(RUNTIMES)


RuntimeName = Annotated[
    str, AfterValidator(_known_runtime), Field(json_schema_extra=_name_runtimes)
]
"""A name of `evnas.tables.RUNTIMES`."""


def training_fault(*, runtime: str, form: str) -> str:
    """Why no training step can be timed on such a target; "" where one can."""
    if form != "plain":
        return f"mode training needs form plain, since a folded batch norm is gone; got {form}"
    if not RUNTIMES.get(runtime).trains:
        known = " or ".join(name for name in RUNTIMES if RUNTIMES.get(name).trains)
        return f"mode training needs runtime {known}, which run a backward; got {runtime}"
    return ""


class TargetSpec(SweepPart):
    """What throughput is measured on; `evnas.measure.target` says what each field means."""

    device: str = Field(default="auto", pattern=_DEVICE)
    runtime: RuntimeName = "torch"
    """Of a search's target that says nothing `best`."""
    resolution: int = Field(default=224, ge=8, le=8192)
    resolution_scale: float = Field(default=1.0, gt=0, le=1)
    """Rows are timed at this share of their side, in whole multiples of 32; counts are not."""
    batch_size: Batch | dict[Literal["cpu", "cuda"], Batch] = "auto"
    """One for all devices, or by kind of device, `auto` on one that is not named."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    form: Literal["plain", "deployed"] = Field(default="plain", json_schema_extra=_no_default)
    """That of its runtime unless given: plain in torch, deployed in what exports a model."""
    mode: Literal["inference", "training"] = "inference"
    """`training` times forward, loss and backward in place of a forward."""
    budget_s: float = Field(default=8.0, gt=0)
    """Wall time of warm-up and rounds for one row."""

    @property
    def as_printed(self) -> bool:
        """Whether any device takes the published rows' batches."""
        return "printed" in map(self.batch_on, ("cpu", "cuda"))

    def batch_on(self, device_type: str) -> int | Literal["auto", "printed"]:
        """The batch on a kind of device, `cpu` or `cuda`."""
        if isinstance(self.batch_size, Mapping):
            return next((b for kind, b in self.batch_size.items() if kind == device_type), "auto")
        return self.batch_size

    def side(self, resolution: int | None = None) -> int:
        """Side of the images that are timed, of a row with a `resolution` of its own or without:
        whole multiples of 32, which every stem and window divides; unscaled as it is."""
        side = resolution or self.resolution
        scale = self.resolution_scale
        return side if scale == 1 else max(32, 32 * round(side * scale / 32))

    @property
    def is_settled(self) -> bool:
        """Whether `spelt` is what it is on every machine."""
        return self.device != "auto" and isinstance(self._spelt_batch, int)

    def spelt(self) -> TargetFields:
        """The target as far as the file tells it, with `auto` for what a machine decides."""
        return TargetFields(
            device="cuda:0" if self.device == "cuda" else self.device,
            runtime=self.runtime,
            resolution=self.side(),
            batch_size=self._spelt_batch,
            precision=self.precision,
            form=self.form,
            mode=self.mode,
        )

    @property
    def _spelt_batch(self) -> int | Literal["auto"]:
        """The batch, where the file settles it."""
        kind = "cuda" if self.device.startswith("cuda") else self.device
        batch = self.batch_size if kind == "auto" else self.batch_on(kind)
        return batch if isinstance(batch, int) else "auto"

    def identity(self) -> dict[str, Any]:
        """Plain data, less the usual mode: studies from before there were modes go on."""
        return self.model_dump(mode="json", exclude={"mode"} if self.mode == "inference" else None)

    @model_validator(mode="before")
    @classmethod
    def _form_of_its_runtime(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or "form" in data or data.get("mode") == "training":
            return data
        name = data.get("runtime")
        known = isinstance(name, str) and name in RUNTIMES
        return {**data, "form": RUNTIMES.get(str(name)).form} if known else data

    @model_validator(mode="after")
    def _can_be_trained(self) -> Self:
        fault = training_fault(runtime=self.runtime, form=self.form)
        if self.mode == "training" and fault:
            raise ValueError(fault)
        return self


class FolderData(SweepPart):
    """An image folder in torchvision's layout: a folder a class, under train/ and val/ or not."""

    folder: str


def known_data() -> str:
    """What a proxy's data may be."""
    return f"must be one of {', '.join(DATASETS)} or {{folder: PATH}}"


def _name_data(schema: dict[str, Any]) -> None:
    schema["enum"] = list(DATASETS)


DataName = Annotated[str, Field(json_schema_extra=_name_data)]
"""A name of `evnas.tables.DATASETS`; whether it is there is asked with that of a folder."""


class PredictSpec(SweepPart):
    """ImageNet top-1 predicted from printed results, without any training."""

    seeds: int = Field(default=2, ge=1, le=32)
    """Initialisations that the signals are the mean of."""
    recipe: str = ""
    """Whose way of training is meant: a recipe of the printed set, such as `EfficientViM`. Not
    given, it is one that nobody has seen, and the interval holds that too."""


class ProxySpec(SweepPart):
    """A short training on real images, the same for every row."""

    data: DataName | FolderData = "fashion-mnist-12k"
    resolution: int = Field(default=56, ge=8, le=1024)
    stem_stride: int = Field(default=4, ge=1, le=16)
    """The stem's total stride here: 4 at 56x56 gives stages the maps of 16 at 224x224."""
    width: float = Field(default=1.0, gt=0, le=4)
    """Every dim of every row times this."""
    epochs: int = Field(default=2, ge=1)
    images_per_epoch: int = Field(default=1600, ge=2)
    """Image presentations an epoch; no image comes twice before every image came once."""
    batch_size: int = Field(default=32, ge=2)
    lr: float = Field(default=2e-3, gt=0)
    """Peak learning rate."""
    precision: Literal["float32", "bfloat16"] = "float32"
    points_per_epoch: int = Field(default=2, ge=1)
    """Points of the learning curve an epoch."""
    curve_images: int = Field(default=500, ge=1)
    """Held-out images behind every point but the last."""
    held_out_images: int = Field(default=10_000, ge=1)
    """Held-out images behind the last point, at most: no data set here holds out more."""
    device: str = Field(default="auto", pattern=_DEVICE)

    @model_validator(mode="after")
    def _has_steps(self) -> Self:
        if self.images_per_epoch // self.batch_size < self.points_per_epoch:
            raise ValueError(
                f"an epoch of {self.images_per_epoch} images must hold at least "
                f"points_per_epoch = {self.points_per_epoch} batches of {self.batch_size}"
            )
        return self

    def identity(self) -> dict[str, Any]:
        """Plain data, less the usual held-out images: older studies, without a limit, go on."""
        whole = type(self).model_fields["held_out_images"].default == self.held_out_images
        return self.model_dump(mode="json", exclude={"held_out_images"} if whole else None)

    @property
    def presentations(self) -> int:
        """Images that a whole training shows: a Record's budget."""
        return self.epochs * (self.images_per_epoch // self.batch_size) * self.batch_size


class EngineSpec(SweepPart):
    """Who runs the phases. `local`: worker processes here; `ray`: a Ray cluster."""

    kind: Literal["local", "ray"] = "local"
    workers: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Of `local`: processes at once; auto is one a GPU, or one on a machine without."""
    timeout_s: float = Field(default=86400.0, gt=0)
    """A phase that takes longer ends as `timeout`."""
    address: str = "auto"
    resources: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
