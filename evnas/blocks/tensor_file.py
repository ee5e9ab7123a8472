"""Files of tensors: read without running code from them, and only if every byte is as written."""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from evnas.errors import DataError


def must_be_intact(path: str | Path, *, ours: bool = False) -> None:
    """Raises DataError where a byte of a file that `torch.save` wrote is wrong.

    Args:
        ours: this evnas wrote it, so it is an archive and no file of an old torch.
    """
    found = _damage(path)
    if ours and not found and not zipfile.is_zipfile(path):
        found = "it is no archive, or its end is missing"
    if found:
        raise DataError(f"{path} must be a checkpoint, it is damaged ({found})")


def _damage(path: str | Path) -> str:
    """Where a file differs from the checksums in it, or "".

    Torch writes a CRC-32 of each tensor and compares none when it reads: a changed byte would be
    another weight. Files from before torch 1.6 hold no checksums and pass.
    """
    try:
        if not zipfile.is_zipfile(path):
            return ""
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
            folders = [found.filename for found in archive.infolist() if _is_folder(found)]
    except Exception as e:  # a damaged archive makes zipfile raise anything
        return first_line(e)
    broken = broken or next(iter(folders), None)
    return "" if broken is None else f"in {broken}"


def _is_folder(found: zipfile.ZipInfo) -> bool:
    """As torch decides it: it takes a folder for an empty tensor, whatever bytes it has."""
    return bool(found.external_attr & 0x10) or found.is_dir()


def load_tensors(path: Path, *, device: torch.device | str, fault: Callable[[str], str]) -> Any:
    """What a file of ours holds, a mapping of tensors and plain data.

    Args:
        path: the file.
        device: where its tensors go.
        fault: makes of a reason the sentence that it cannot be read.

    Raises:
        DataError: that sentence.
    """
    if found := _damage(path):
        raise DataError(fault(f"it is damaged {found}"))
    try:
        held = torch.load(path, map_location=device, weights_only=True)
    except OSError as e:
        raise DataError(fault(first_line(e))) from e
    except Exception as e:  # a damaged file makes torch raise anything, struct.error for one;
        # and what it says is advice to run the file's code
        raise DataError(fault(type(e).__name__)) from e
    if not isinstance(held, Mapping):
        raise DataError(fault(f"it holds a {type(held).__name__}"))
    return held


def first_line(error: BaseException) -> str:
    """What an error says, or its name where it says nothing."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
