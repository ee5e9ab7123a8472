"""The parts of a sweep file as data: published table, target, proxy, engine."""

import re
import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    model_validator,
)

from evnas.arch.catalog import Family
from evnas.errors import SpecError, nearest
from evnas.papers.published import published_table
from evnas.record import TargetFields
from evnas.runtime import BatchSize, Form, Mode, Precision
from evnas.sweep.numbers import NumbersAreNumbers
from evnas.tables import DATASETS, RUNTIMES

CONVENTIONS: Mapping[str, Family] = {
    "EfficientViM": "efficientvim",
    "VSSD": "vssd",
    "VMamba": "vmamba",
    "EfficientVMamba": "efficientvmamba",
}
"""A paper's own way of counting FLOPs."""
MOST_IMAGES = 1_000_000
"""At once."""
Parse = Literal["json", "numbers"]
"""How a command's output is read."""
ProxyPrecision = Literal["float32", "bfloat16"]
"""What a short training may compute in."""
BatchByRule = Literal["auto", "printed"]
Batch = Annotated[int, Field(ge=1, le=MOST_IMAGES)] | BatchByRule
"""Images at once; `printed` is what the published row was measured at, and `auto` where it says
nothing."""
MOST_S = 31_536_000.0
"""A year: what nobody waits for, and clocks cannot, ends as a mistake."""
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""What a store and every generator can hold."""
_DEVICE = r"^(auto|cpu|cuda(:\d+)?)$"
_TARGET_DEVICE = r"^(auto|cpu|cuda(:\d+)?|(GPU|NPU)(\.\d+)?)$"
OPENVINO_RUNTIMES = ("openvino", "openvino_auto")
"""Those that run on devices which have no name in torch."""
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
ROW_BUDGET_S = 8.0
"""With what spoiled rounds add and what is around it, an ablation's row takes ten seconds."""
CANDIDATE_BUDGET_S = 2.5
"""The same of a search's candidate, which takes four."""
COMMAND_BUDGET_S = 30.0
"""The same of a command, each run of which has to start."""
GRAPH = "cuda_graph"
"""What a deployed form runs in on a GPU unless its target names a runtime."""
COMMAND = "command"
"""What stands in place of a runtime in the id of a command's target."""
COMMAND_KEYS = ("name", "command", "format", "parse", "timeout_s")
"""Keys of a target that a command times, and of no other."""
PATTERNS = {
    _DEVICE: "auto, cpu, cuda or cuda:N",
    _TARGET_DEVICE: "auto, cpu, cuda or cuda:N, and of runtime openvino GPU or NPU",
    NAME: "letters, digits, '_', '.' and '-'",
}


class SweepPart(NumbersAreNumbers):
    """Frozen, and deaf to unknown keys: they are refused. Numbers are finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PublishedSpec(SweepPart):
    """The printed table that a sweep stands beside."""

    paper: str
    """EfficientViM, VSSD, VMamba or EfficientVMamba."""
    table: str = Field(coerce_numbers_to_str=True)
    """As the paper numbers it: C, 10."""
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
    RUNTIMES.must_be_valid(name)
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


def is_openvino_device(device: str) -> bool:
    """Whether a device is called as OpenVINO calls it: `GPU`, `GPU.1`, `NPU`."""
    return device.partition(".")[0] in ("GPU", "NPU")


def device_fault(*, device: str, runtime: str) -> str:
    """Why a runtime does not run on a device of that name; "" where it may."""
    if is_openvino_device(device) and runtime not in OPENVINO_RUNTIMES:
        known = " or ".join(OPENVINO_RUNTIMES)
        return f"device {device} is one of OpenVINO, so it needs runtime {known}; got {runtime}"
    return ""


def takes_a_graph(target: Any) -> bool:
    """Whether a target as a file says it is a deployed form on a GPU whose runtime is left open:
    one captured graph, without the launches from Python that eager kernels wait for."""
    return (
        isinstance(target, Mapping)
        and "runtime" not in target
        and target.get("kind") != "command"
        and target.get("form") == "deployed"
        and target.get("mode") != "training"
        and str(target.get("device")).startswith("cuda")
    )


def training_fault(*, runtime: str, form: str) -> str:
    """Why no training step can be timed on such a target; "" where one can."""
    if form != "plain":
        return f"mode training needs form plain, since a folded batch norm is gone; got {form}"
    if not RUNTIMES.get(runtime).trains:
        known = " or ".join(name for name, known in RUNTIMES.usable().items() if known.trains)
        return f"mode training needs runtime {known}, which run a backward; got {runtime}"
    return ""


class TargetSpec(SweepPart):
    """What throughput is measured on; `evnas.measure.target` says what each field means."""

    kind: Literal["runtime", "command"] = "runtime"
    """Whether a runtime runs the model here, or `command` is handed its file."""
    name: str = Field(default="", pattern=r"^[A-Za-z][A-Za-z0-9_]*$|^$")
    """Of a command's device: runs on one name never overlap. Its target is called so in place of
    `device`."""
    command: str = ""
    """Program and arguments with `{model}`, and perhaps `{batch}` and `{resolution}`, in them; no
    shell reads them. It prints the latencies of a batch in milliseconds."""
    format: Literal["onnx"] = "onnx"
    """Of the file that a command is handed."""
    parse: Parse = "json"
    """How a command's output is read: a list or object of JSON, or nothing but numbers."""
    timeout_s: float = Field(default=60.0, gt=0, le=MOST_S)
    """After which one run of a command is killed."""
    device: str = Field(default="auto", pattern=_TARGET_DEVICE)
    """`auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:N`, or what OpenVINO calls it."""
    runtime: RuntimeName = "torch"
    """What runs the model: `torch` unless said, `cuda_graph` where a deployed form is on a GPU,
    of a search's target `best`."""
    resolution: int = Field(default=224, ge=8, le=8192)
    """Side of the images in pixels."""
    resolution_scale: float = Field(default=1.0, gt=0, le=1)
    """Rows are timed at this share of their side, in whole multiples of 32; counts are not."""
    batch_size: Batch | dict[Literal["cpu", "cuda"], Batch] = "auto"
    """One for all devices, or by kind of device, `auto` on one that is not named."""
    precision: Precision = "float32"
    """What the model computes in."""
    form: Form = Field(default="plain", json_schema_extra=_no_default)
    """That of its runtime unless given: plain in torch, deployed in what exports a model."""
    mode: Mode = "inference"
    """`training` times forward, loss and backward in place of a forward."""
    uncertainty_percent: float | None = Field(default=2.0, gt=0, le=100)
    """A row is measured until its interval reaches no further from the median to either side;
    null measures for the whole of `budget_s`."""
    halve_batch: bool = False
    """Where memory ends, a row of an ablation is timed at half the batch, and half of that, down
    to one image; its record and the table say at which."""
    budget_s: Annotated[float, Field(gt=0, le=MOST_S)] | Literal["auto"] = "auto"
    """Wall time of warm-up and rounds for one row at most; `auto` is 8 s of an
    ablation's row, 2.5 s of a search's candidate."""

    @property
    def as_printed(self) -> bool:
        """Whether any device takes the published rows' batches."""
        return "printed" in map(self.batch_on, ("cpu", "cuda"))

    def batch_on(self, device_type: str) -> int | BatchByRule:
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
        known = self.by_command or self.device != "auto"
        return known and isinstance(self._spelt_batch, int)

    def spelt(self) -> TargetFields:
        """The target as far as the file tells it, with `auto` for what a machine decides."""
        return TargetFields(
            device=self.named_device,
            runtime=self.named_runtime,
            resolution=self.side(),
            batch_size=self._spelt_batch,
            precision=self.precision,
            form=self.form,
            mode=self.mode,
        )

    @property
    def named_device(self) -> str:
        """`auto`, `cpu`, `cuda:N`, or the name of a command's device."""
        if self.by_command:
            return self.name
        return "cuda:0" if self.device == "cuda" else self.device

    @property
    def named_runtime(self) -> str:
        """The runtime, or `command`."""
        return COMMAND if self.by_command else self.runtime

    @property
    def _spelt_batch(self) -> BatchSize:
        """The batch, where the file settles it."""
        if self.by_command:
            asked = self.batch_on(self.name)
            return asked if isinstance(asked, int) else 1
        kind = "cuda" if self.device.startswith("cuda") else self.device
        batch = self.batch_size if kind == "auto" else self.batch_on(kind)
        return batch if isinstance(batch, int) else "auto"

    @property
    def by_command(self) -> bool:
        """Whether a command times it."""
        return self.kind == "command"

    def command_fields(self) -> dict[str, Any] | None:
        """Fields of `evnas.measure.command.speed.CommandTarget`; None where a runtime runs it."""
        if not self.by_command:
            return None
        return {key: getattr(self, key) for key in COMMAND_KEYS if key != "format"}

    def budget_of(self, *, search: bool) -> float:
        """Seconds that one row, or a search's candidate, may be measured for."""
        if self.budget_s != "auto":
            return self.budget_s
        if self.by_command:
            return COMMAND_BUDGET_S
        return CANDIDATE_BUDGET_S if search else ROW_BUDGET_S

    def identity(self) -> dict[str, Any]:
        """Plain data, so that older studies go on: less the usual mode, less what a measurement
        ends by, since figures of any length stand beside each other, and with `auto` as it was
        spelt before there was the word."""
        usual = {"mode"} if self.mode == "inference" else set()
        usual |= set() if self.halve_batch else {"halve_batch"}
        here = set() if self.by_command else {"kind", *COMMAND_KEYS}
        data = self.model_dump(mode="json", exclude={"uncertainty_percent", *usual, *here})
        return data | {"budget_s": self.budget_of(search=False)}

    @model_validator(mode="before")
    @classmethod
    def _command_is_handed_the_deployed_form(cls, data: Any) -> Any:
        by_command = isinstance(data, Mapping) and data.get("kind") == "command"
        return {"form": "deployed", **data} if by_command else data

    @model_validator(mode="after")
    def _is_a_whole_command(self) -> Self:
        given = [key for key in COMMAND_KEYS if key in self.model_fields_set and _says(self, key)]
        if not self.by_command:
            if given:
                raise ValueError(f"{given[0]} is of a target of kind: command, which this is not")
            return self
        fault = _command_fault(self)
        if fault:
            raise ValueError(fault)
        return self

    @model_validator(mode="before")
    @classmethod
    def _form_of_its_runtime(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or "form" in data or data.get("mode") == "training":
            return data
        name = data.get("runtime")
        known = isinstance(name, str) and name in RUNTIMES.usable()
        return {**data, "form": RUNTIMES.get(str(name)).form} if known else data

    @model_validator(mode="wrap")
    @classmethod
    def _graph_of_a_deployed_form(
        cls, data: Any, handler: ModelWrapValidatorHandler[Self]
    ) -> Self:
        if not takes_a_graph(data):
            return handler(data)
        target = handler({**data, "runtime": GRAPH})
        target.model_fields_set.discard("runtime")  # another device or form chooses again
        return target

    @model_validator(mode="after")
    def _can_be_trained(self) -> Self:
        fault = training_fault(runtime=self.runtime, form=self.form)
        if self.mode == "training" and fault:
            raise ValueError(fault)
        return self

    @model_validator(mode="after")
    def _runs_there(self) -> Self:
        fault = device_fault(device=self.device, runtime=self.runtime)
        if fault and not self.by_command:
            raise ValueError(fault)
        return self


def _says(target: TargetSpec, key: str) -> bool:
    """Whether a key is other than unsaid: a resolved sweep spells every default out."""
    return bool(getattr(target, key) != TargetSpec.model_fields[key].default)


def _command_fault(target: TargetSpec) -> str:
    """What a target of kind `command` lacks or must not say; "" where it is whole."""
    if not target.name:
        return "kind: command needs a name for its device, such as name: phone"
    if target.name in ("auto", "cpu", "cuda"):
        return f"a command's name must tell it from this machine's devices, got {target.name!r}"
    if "{model}" not in target.command:
        got = repr(target.command)
        return f"command must hold {{model}}, where the file's path is put, got {got}"
    try:
        words = shlex.split(target.command)
    except ValueError as e:
        return f"command must be words as a shell would read them, got {target.command!r} ({e})"
    unknown = [p for word in words for p in _PLACE.findall(word) if p not in PLACES]
    if unknown:
        known = ", ".join(f"{{{place}}}" for place in PLACES)
        return f"command may hold {known}, got {{{unknown[0]}}}"
    others: dict[str, Any] = {
        **{"device": "auto", "runtime": "torch", "mode": "inference", "precision": "float32"},
        "halve_batch": False,
    }
    for key, usual in others.items():
        if getattr(target, key) != usual:
            return f"{key} is the command's own affair, so kind: command does not take it"
    return ""


PLACES = ("model", "batch", "resolution")
"""What a command's words may be filled with."""
_PLACE = re.compile(r"\{(\w+)\}")


class FolderSpec(SweepPart):
    """An image folder in torchvision's layout: a folder a class, under train/ and val/ or not."""

    folder: str
    """A relative path lies beside the sweep's file."""


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


def steps_an_epoch(images_per_epoch: int, batch_size: int, training_images: int) -> int:
    """Whole batches of an epoch, which shows at most all training images."""
    return min(images_per_epoch, training_images) // batch_size


class ProxySpec(SweepPart):
    """A short training on real images, the same for every row."""

    data: DataName | FolderSpec = "fashion-mnist-12k"
    """A named set, or `{folder: PATH}`."""
    resolution: int = Field(default=56, ge=8, le=1024)
    """Side of the images in pixels."""
    stem_stride: int = Field(default=4, ge=1, le=16)
    """The stem's total stride here: 4 at 56x56 gives stages the maps of 16 at 224x224."""
    width: float = Field(default=1.0, gt=0, le=4)
    """Every dim of every row times this."""
    epochs: int = Field(default=2, ge=1, le=1_000_000)
    """Of a whole training."""
    images_per_epoch: int = Field(default=1600, ge=2, le=1_000_000_000)
    """Image presentations an epoch, at most all training images; no image comes twice before every
    image came once."""
    batch_size: int = Field(default=32, ge=2, le=MOST_IMAGES)
    """Images a step."""
    lr: float = Field(default=2e-3, gt=0, le=1000)
    """Peak learning rate."""
    precision: ProxyPrecision = "float32"
    """What the training computes in."""
    points_per_epoch: int = Field(default=2, ge=1, le=10_000)
    """Points of the learning curve an epoch."""
    curve_images: int = Field(default=500, ge=1, le=1_000_000_000)
    """Held-out images behind every point but the last."""
    held_out_images: int = Field(default=10_000, ge=1, le=1_000_000_000)
    """Held-out images behind the last point, at most: no data set here holds out more."""
    device: str = Field(default="auto", pattern=_DEVICE)
    """What it is trained on: `auto`, `cpu`, `cuda` or `cuda:N`."""
    halve_batch: bool = False
    """Where memory ends, a training begins again with the images of a step in two parts whose
    gradients add up, then four, down to two images a part; its record and the page say so."""

    @model_validator(mode="after")
    def _has_steps(self) -> Self:
        if self.images_per_epoch // self.batch_size < self.points_per_epoch:
            raise ValueError(
                f"an epoch of {self.images_per_epoch} images must hold at least "
                f"points_per_epoch = {self.points_per_epoch} batches of {self.batch_size}"
            )
        return self

    def identity(self) -> dict[str, Any]:
        """Plain data, less what is usual and older studies do not say: they go on."""
        fields = type(self).model_fields
        newer = ("held_out_images", "halve_batch")
        usual = {name for name in newer if getattr(self, name) == fields[name].default}
        return self.model_dump(mode="json", exclude=usual)

    @property
    def presentations(self) -> int:
        """Images that a whole training shows: a Record's budget. Where the training images are
        fewer than `images_per_epoch` it shows less, which tables and pages say."""
        return self.shown(self.images_per_epoch)

    def shown(self, training_images: int) -> int:
        """Images that a whole training shows where so many are there to train on."""
        steps = steps_an_epoch(self.images_per_epoch, self.batch_size, training_images)
        return self.epochs * steps * self.batch_size


class EngineSpec(SweepPart):
    """Who runs the phases. `local`: worker processes here; `ray`: a Ray cluster."""

    kind: Literal["local", "ray"] = "local"
    """Worker processes on this machine, or a Ray cluster."""
    workers: Annotated[int, Field(ge=1, le=10_000)] | Literal["auto"] = "auto"
    """Of `local`: processes at once; auto is one a GPU, or one on a machine without."""
    timeout_s: float = Field(default=86400.0, gt=0, le=MOST_S)
    """A phase that takes longer ends as `timeout`."""
    address: str = "auto"
    """Of `ray`: the cluster's; `auto` finds the one that this machine belongs to."""
    resources: dict[str, Annotated[float, Field(ge=0, le=1e9)]] = Field(default_factory=dict)
    """Of `ray`: what each piece of work takes, such as {cpu: 4}."""


FAILED_ALIKE = 12
"""A sweep whose first trials all fail, for one reason, stops after so many."""
Retries = Annotated[int, Field(ge=0, le=100)]


class RetriesSpec(SweepPart):
    """How often work is done again within the run, by how it ended; `--retry` does it later."""

    lost: Retries = 0
    """Its worker went away more often than the engine tries by itself: twice of `local`, four
    times of `ray`."""
    timeout: Retries = 0
    """It took longer than `engine.timeout_s`."""
    oom: Retries = 0
    """Memory ended; `halve_batch` of `proxy` and of a target mends what it asks for itself."""
    failed: Retries = 0
    """It raised an error."""


class FailuresSpec(SweepPart):
    """What is done about work that ends badly. The record of its last try counts; it lists the
    earlier ones."""

    retries: RetriesSpec = RetriesSpec()
    """Tries more, by how the last one ended."""
    stop_after: Annotated[int, Field(ge=1, le=1_000_000)] | None = FAILED_ALIKE
    """A sweep whose first trials all end `failed` or `lost`, for one reason, stops after so many;
    null never stops it."""
