"""Whether what a sweep's engine runs on is installed; answered without loading it, or torch."""

import importlib.util

from evnas.errors import SpecError
from evnas.sweep.parts import EngineSpec


def must_be_installed(engine: EngineSpec) -> None:
    """The engine's packages can be imported.

    Raises:
        SpecError: at `engine.kind`, with the package that is missing and the command that adds it.
    """
    if engine.kind != "ray":
        return
    missing = [name for name in ("ray", "pyarrow") if importlib.util.find_spec(name) is None]
    if missing:
        raise SpecError(f"{missing[0]} is not installed: pip install 'evnas[ray]'", "engine.kind")
