"""Paths and texts as people give them: `~`, `${HOME}`, and where a relative path is meant."""

import os
import re
from pathlib import Path

from evnas.errors import SpecError

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def expanded(path: str | Path) -> Path:
    """A path with `~` and every `${NAME}` replaced.

    Raises:
        SpecError: a variable is not set.
    """

    def value_of(found: re.Match[str]) -> str:
        name = found.group(1)
        if name not in os.environ:
            raise SpecError(f"{path}: must name variables that are set, {name} is not")
        return os.environ[name]

    return Path(os.path.expanduser(_VARIABLE.sub(value_of, str(path))))


def placed(path: str | Path, folder: Path) -> Path:
    """The same as an absolute path; a relative one lies in `folder`."""
    return Path(os.path.abspath(folder / expanded(path)))


def shown(path: str | Path) -> str:
    """A path for a message: from the working directory where it lies below, else whole."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else str(path)
