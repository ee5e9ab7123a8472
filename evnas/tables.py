"""The tables of what can be added, a line each, but for mixers, which have a room of their own."""

import functools
import inspect
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any, cast

from evnas.errors import SpecError, nearest
from evnas.registry import ModuleRegistry, PluginError, Registry, imported, points_of

if TYPE_CHECKING:
    from evnas.arch.block import Block
    from evnas.phases.base import Phase, Quantity
    from evnas.runtime import Runtime


class PhaseRegistry(Registry["Phase"]):
    """The phases; functions of the entry points' group `evnas.objectives` are phases too."""

    def _entry_points(self) -> Mapping[str, EntryPoint]:
        return {**points_of("evnas.objectives"), **super()._entry_points()}

    def _fitting(self, name: str, thing: Any) -> "Phase":
        """A function as the phase that calls it; refuses a phase of another name."""
        if inspect.isfunction(thing):
            thing = imported("evnas.phases.function:FunctionPhase")(thing)
        phase = super()._fitting(name, thing)
        if phase.name != name:
            raise PluginError(f"phase {name!r} is called {phase.name!r}; the two must be equal")
        return phase


class StrategyRegistry(Registry[Any]):
    """The kinds of strategies: subclasses of `evnas.sweep.strategy_spec.StrategySpec`."""

    def _fitting(self, name: str, thing: Any) -> Any:
        """Refuse what is no such class, or one whose `kind` is another name."""
        base: Any = imported("evnas.sweep.strategy_spec:StrategySpec")
        if not (isinstance(thing, type) and issubclass(thing, base)):
            raise PluginError(
                f"strategy {name!r} must be a subclass of evnas.sweep.strategy_spec.StrategySpec, "
                f"got {thing!r:.60}"
            )
        kind = cast(Any, thing).model_fields["kind"].default
        if kind != name:
            raise PluginError(f"strategy {name!r} has the kind {kind!r}; the two must be equal")
        return thing


PHASES = PhaseRegistry(
    "phase",
    {
        "count": "evnas.phases.count:COUNT",
        "predict": "evnas.phases.predict:PREDICT",
        "score": "evnas.phases.score:SCORE",
        "speed": "evnas.phases.speed:SPEED",
        "proxy": "evnas.phases.proxy:PROXY",
        "inherited": "evnas.phases.inherited:INHERITED",
    },
    of="evnas.phases.base:Phase",
)
"""Name -> `evnas.phases.base.Phase`."""

BLOCKS: "ModuleRegistry[Block]" = ModuleRegistry(
    "block",
    {
        "efficientvim": "evnas.arch.block:EFFICIENTVIM",
        "vss": "evnas.arch.block:VSS",
        "vanilla_vss": "evnas.arch.block:VANILLA_VSS",
        "vssd": "evnas.arch.block:VSSD",
        "evss": "evnas.arch.block:EVSS",
        "inres": "evnas.arch.block:INRES",
    },
    of="evnas.arch.block:Block",
)
"""Name -> `evnas.arch.block.Block`."""

STRATEGIES = StrategyRegistry(
    "strategy",
    {
        "grid": "evnas.search.strategies.drawing:GridSpec",
        "random": "evnas.search.strategies.drawing:RandomSpec",
        "one_at_a_time": "evnas.search.strategies.around:OneAtATimeSpec",
        "tpe": "evnas.search.strategies.samplers:TpeSpec",
        "nsga2": "evnas.search.strategies.samplers:Nsga2Spec",
        "nsga3": "evnas.search.strategies.samplers:Nsga3Spec",
        "gp": "evnas.search.strategies.samplers:GpSpec",
        "evolution": "evnas.search.strategies.evolution:EvolutionSpec",
        "mo_asha": "evnas.search.strategies.halving:HalvingSpec",
    },
)
"""Name -> subclass of `evnas.sweep.strategy_spec.StrategySpec`, which makes the strategy."""


RUNTIMES: "Registry[Runtime]" = Registry(
    "runtime",
    {
        "best": "evnas.runtime:BEST",
        "torch": "evnas.runtime:TORCH",
        "compile": "evnas.runtime:COMPILE",
        "cuda_graph": "evnas.runtime:CUDA_GRAPH",
        "inductor": "evnas.runtime:INDUCTOR",
        "aot_inductor": "evnas.runtime:AOT_INDUCTOR",
        "onnx": "evnas.runtime:ONNX",
        "onnx_int8": "evnas.runtime:ONNX_INT8",
        "onnx_int8_dynamic": "evnas.runtime:ONNX_INT8_DYNAMIC",
        "openvino": "evnas.runtime:OPENVINO",
        "openvino_auto": "evnas.runtime:OPENVINO_AUTO",
        "tensorrt": "evnas.runtime:TENSORRT",
        "executorch": "evnas.runtime:EXECUTORCH",
        "coreml": "evnas.runtime:COREML",
    },
    of="evnas.runtime:Runtime",
)
"""Name -> `evnas.runtime.Runtime`. A name stands in a target's id: letters, digits and `_`."""

SCORES: Registry[Any] = Registry(
    "score",
    {
        "params": "evnas.proxy.scores.gradients:params",
        "synflow": "evnas.proxy.scores.gradients:synflow",
        "naswot": "evnas.proxy.scores.activations:naswot",
        "zen": "evnas.proxy.scores.activations:zen",
        "jacob_cov": "evnas.proxy.scores.gradients:jacob_cov",
        "grad_norm": "evnas.proxy.scores.gradients:grad_norm",
        "snip": "evnas.proxy.scores.gradients:snip",
        "zico": "evnas.proxy.scores.gradients:zico",
        "reach": "evnas.proxy.scores.mixing:REACH",
        "effective_rank": "evnas.proxy.scores.mixing:EFFECTIVE_RANK",
        "mixing_entropy": "evnas.proxy.scores.mixing:MIXING_ENTROPY",
        "mixer_gain": "evnas.proxy.scores.mixing:MIXER_GAIN",
        "mixers": "evnas.proxy.scores.mixing:MIXERS",
    },
    of="collections.abc:Callable",
)
"""Name -> function of (model, images (B, 3, H, W) normalised float32, labels (B,) int64) that
gives a float, higher meaning better, and leaves the model as it was. All but `params`, which is
counted, are objectives."""

DATASETS: Registry[Any] = Registry(
    "dataset",
    {
        "fashion-mnist-12k": "evnas.proxy.fashion:small_set",
        "fashion-mnist": "evnas.proxy.fashion:whole_set",
        "associative_recall": "evnas.proxy.long_range:associative_recall",
        "long_range_copy": "evnas.proxy.long_range:long_range_copy",
        "path_tracing": "evnas.proxy.long_range:path_tracing",
    },
    of="collections.abc:Callable",
)
"""Name -> function that gives its `evnas.proxy.arrays.ImageArrays`, of the side in pixels that
images need at most: trainings see them a little smaller."""

RECIPES: Registry[Any] = Registry(
    "recipe",
    {
        "efficientvim": "evnas.train.recipes:EFFICIENTVIM",
        "vssd": "evnas.train.recipes:VSSD",
        "vmamba": "evnas.train.recipes:VMAMBA",
        "efficientvmamba": "evnas.train.recipes:EFFICIENTVMAMBA",
    },
    of="pathlib:Path",
)
"""Name -> the YAML file of a training's recipe, see `evnas.train.recipes`."""


def chooses(runtime: str) -> bool:
    """Whether a target's runtime takes another for each model; not where it is none of ours."""
    return runtime in RUNTIMES and RUNTIMES.get(runtime).chooses


def scores_among(names: Iterable[str]) -> tuple[str, ...]:
    """Those of some quantities that are scores, in the table's order; `params` is counted."""
    asked = set(names)
    return tuple(name for name in SCORES if name in asked and name != "params")


def phases() -> "tuple[Phase, ...]":
    """All phases that can be loaded, cheapest first: what breaks a constraint in one is spared the
    next."""
    return _phases(PHASES.names())


def phase_order() -> list[str]:
    """Names of `phases()`."""
    return [phase.name for phase in phases()]


def quantities() -> "dict[str, Quantity]":
    """Name -> quantity of all that records may hold, as far as its phase can be loaded: a study
    opens whatever has become of another package."""
    return {q.name: q for phase in PHASES.usable().values() for q in phase.quantities}


def quantity_and_target(name: str) -> tuple[str, str]:
    """Of a name such as `latency_ms@cpu`; the target is "" where none is named."""
    quantity, _, target = name.partition("@")
    return quantity, target


def quantity_of(name: str) -> str:
    """The quantity of a name that may name a target too: `latency_ms` of `latency_ms@cpu`."""
    return quantity_and_target(name)[0]


def found_by() -> Mapping[str, str]:
    """Quantity -> name of the phase that finds it, as far as that can be loaded."""
    return _found_by(PHASES.names(), SCORES.names())


def quantity_must_load(name: str) -> None:
    """What finds a quantity can be loaded, where another package brings it.

    Raises:
        SpecError: nobody finds it; with each phase that cannot be loaded, which may be who would.
        PluginError: the score that it is cannot be loaded.
    """
    known = found_by()
    if name in scores_among(SCORES):
        SCORES.must_load(name)
    elif name not in known:
        raise SpecError(f"nothing measures {name!r}{nearest(name, known)}{broken_phases()}")


def broken_phases() -> str:
    """What else is to be said of a name that no phase knows; "" where all phases can be loaded."""
    return "".join(f"; {error}" for error in PHASES.broken().values())


def left_out_phases() -> list[str]:
    """A sentence for each phase that a sweep goes without, since it cannot be loaded."""
    return [f"{error}; no candidate is evaluated by it" for error in PHASES.broken().values()]


@functools.cache
def _phases(names: tuple[str, ...]) -> "tuple[Phase, ...]":
    """Cached by what is registered: a driver asks for it with each piece of work."""
    return tuple(sorted(PHASES.usable().values(), key=lambda phase: phase.guess_s))


@functools.cache
def _found_by(names: tuple[str, ...], scores: tuple[str, ...]) -> Mapping[str, str]:
    """Cached by what is registered: searches ask for each value of each trial."""
    return {q.name: name for name, phase in PHASES.usable().items() for q in phase.quantities}
