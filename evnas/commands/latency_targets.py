"""The space and target that `evnas calibrate` and `evnas lut` are asked for; no torch until one
is made out."""

from pathlib import Path
from typing import Any

from evnas.commands.bench_targets import target_fields
from evnas.errors import SpecError
from evnas.sweep.parts import TargetSpec
from evnas.sweep.search_spec import SearchSpec
from evnas.sweep.sweep import Sweep, load_sweep


def space_of(file: Path) -> tuple[Sweep, Any]:
    """A search's sweep and its `SearchSpace`.

    Raises:
        SpecError: the file has no space.
    """
    sweep = load_sweep(file)
    if not isinstance(sweep.spec, SearchSpec):
        raise SpecError(f"{file}: must have a space; this is an ablation with rows")
    from evnas.space.space import SearchSpace

    return sweep, SearchSpace.from_spec(sweep.spec.space, sweep.base)


def asked_target(
    sweep: Sweep, text: str, *, batch_size: int | None, resolution: int | None
) -> TargetSpec:
    """What is to be calibrated: as `--target` says, over the search's own first target.

    Raises:
        SpecError: it says what no target can be.
    """
    from evnas.search.bench import bench_target  # torch knows what `auto` is

    own = sweep.spec.targets[0] if sweep.spec.targets else TargetSpec()
    usual = own.model_dump(mode="json", exclude_unset=True)
    said = target_fields(text, {})
    if "runtime" in said and "form" not in said:
        usual.pop("form", None)  # that of the runtime
    given = {"batch_size": batch_size, "resolution": resolution}
    return bench_target({**usual, **said, **{key: v for key, v in given.items() if v is not None}})


def target_spec(text: str) -> TargetSpec:
    """A target as `--target` says it, over a target's defaults.

    Raises:
        SpecError: it says what no target can be.
    """
    from evnas.search.bench import bench_target  # likewise

    return bench_target(target_fields(text, {}))
