"""Which official key each weight of an architecture goes by, from the tables in `names`."""

from collections.abc import Iterator

from evnas.arch.spec import ArchSpec, StageSpec
from evnas.blocks.names import FAMILIES, FamilyNames, Row, ShapeMap, map_vector, token_vector
from evnas.errors import SpecError


def official_keys(arch: ArchSpec, keys: list[str]) -> dict[str, tuple[str, ShapeMap]]:
    """Official key -> (our key, official shape from ours), for all of a model's `keys`.

    Raises:
        SpecError: a key that the family's release has no name for.
    """
    pairs: dict[str, tuple[str, ShapeMap]] = {}
    for official, ours, view in rows(arch):
        for key in keys:
            if key == ours or key.startswith(f"{ours}."):
                pairs[official + key.removeprefix(ours)] = (key, view)
    named = {key for key, _ in pairs.values()}
    for key in keys:
        if key not in named:
            raise SpecError(f"the family's release has no name for {key} of this architecture")
    return pairs


def family_of(arch: ArchSpec) -> str:
    """The family whose names an architecture goes by, from its blocks and mixers.

    Raises:
        SpecError: its blocks are of several families, so no release names it.
    """
    found = {_family_of_stage(stage) for stage in arch.stages}
    if len(found) > 1:
        raise SpecError(
            f"official names exist for one family alone, got blocks of {', '.join(sorted(found))}"
        )
    return found.pop()


def _family_of_stage(stage: StageSpec) -> str:
    if not stage.family:
        raise SpecError(
            f"no release has blocks of kind {stage.block}, so none names their weights"
        )
    return stage.family


def rows(arch: ArchSpec) -> Iterator[Row]:
    """Every row of an architecture with its full paths, in the order of the official dict.

    Raises:
        SpecError: its family's release has no names for such blocks, stem or downsampling.
    """
    names = FAMILIES[family_of(arch)]
    stem, downsample = _parts(names, arch)
    yield from names.before
    yield from stem
    for i, stage in enumerate(arch.stages):
        block = names.blocks[stage.block]
        for j in range(stage.depth):
            path = block.path.format(stage=i, block=j, position=j + 1)
            yield from _below(block.rows, path, f"stages.{i}.blocks.{j}")
        path = block.downsample.format(stage=i, after=stage.depth + 2)
        yield from _below(downsample, path, f"stages.{i}.downsample")
    for official, ours, view in names.fused:
        for source in range(len(arch.stages) + 1):
            is_map = source == len(arch.stages) and view is token_vector
            of_source = official.format(source=source), ours.format(source=source)
            yield (*of_source, map_vector if is_map else view)
    yield from names.after


def _parts(names: FamilyNames, arch: ArchSpec) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    if arch.stem.kind not in names.stems or arch.downsample not in names.downsamples:
        raise SpecError(
            f"official names of this family exist for stems {', '.join(names.stems)} and "
            f"downsampling {', '.join(names.downsamples)}, "
            f"got stem {arch.stem.kind} and downsampling {arch.downsample}"
        )
    return names.stems[arch.stem.kind], names.downsamples[arch.downsample]


def _below(table: tuple[Row, ...], official: str, ours: str) -> Iterator[Row]:
    for name, our_name, view in table:
        yield f"{official}.{name}", f"{ours}.{our_name}", view
