"""Benchmarks as modules: they lie beside the package and import one another by their names."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
STUDY = BENCHMARKS / "training_study"


@contextmanager
def benchmark(name: str) -> Iterator[Any]:
    """The module; within, those that it imports are found too."""
    with pytest.MonkeyPatch.context() as patch:
        for folder in (STUDY, BENCHMARKS):
            patch.syspath_prepend(str(folder))
        yield importlib.import_module(name)
