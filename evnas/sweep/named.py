"""An architecture as people give it: a catalogue name, a file, plain data, or the thing itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evnas.arch.catalog import Entry, entry
from evnas.arch.spec import ArchSpec
from evnas.errors import SpecError
from evnas.files import expanded
from evnas.sweep.file_paths import is_arch_file
from evnas.sweep.yaml_lines import read_arch

Arch = str | Path | Mapping[str, Any] | ArchSpec
"""A name of `evnas models`, a path to YAML or JSON, `ArchSpec.to_dict()`, or an `ArchSpec`."""


def arch_of(arch: Arch) -> ArchSpec:
    """The architecture that is meant.

    Args:
        arch: a name or alias of the catalogue, a path that ends in .yaml, .yml or .json, plain
            data as such a file holds, or an `ArchSpec`.

    Raises:
        SpecError: neither the catalogue nor a file has it, or what it says cannot hold.
    """
    if isinstance(arch, ArchSpec):
        return arch
    if isinstance(arch, Mapping):
        return ArchSpec.from_dict(dict(arch))
    if isinstance(arch, Path) or is_arch_file(arch):
        return read_arch(expanded(arch))
    if isinstance(arch, str):
        return entry(arch).arch
    raise SpecError(
        "an architecture must be a name, a path to YAML, a mapping or an ArchSpec, got "
        f"{type(arch).__name__}"
    )


def entry_of(name: str) -> Entry | None:
    """The catalogue's entry of a name; None for a file. Raises SpecError for an unknown name."""
    return None if is_arch_file(name) else entry(name)
