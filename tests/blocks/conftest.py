"""Reference models, each built once."""

import functools
from collections.abc import Callable

import pytest
from reference_data import VARIANTS, weights

from evnas.arch.catalog import entry
from evnas.arch.paths import edit
from evnas.arch.spec import ArchSpec
from evnas.blocks.backbone import Backbone, build
from evnas.blocks.official import load_state


@pytest.fixture(scope="session")
def arch_of() -> Callable[[str], ArchSpec]:
    """The architecture of a manifest, from the catalogue or a variant of it."""

    def find(name: str) -> ArchSpec:
        if name in VARIANTS:
            base, changes = VARIANTS[name]
            return edit(entry(base).arch, changes)
        return entry(name).arch

    return find


@pytest.fixture(scope="module")
def reference_model(arch_of: Callable[[str], ArchSpec]) -> Callable[[str], Backbone]:
    """A model with its reference weights, in eval mode."""

    @functools.lru_cache(maxsize=1)  # tests of one model stand together
    def load(name: str) -> Backbone:
        model = build(arch_of(name))
        assert isinstance(model, Backbone)
        load_state(model, weights(name))
        return model.eval()

    return load
