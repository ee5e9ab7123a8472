"""Files of tensors: read without running code from them, and only if every byte is as written."""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from evnas.errors import DataError


def must_be_intact(path: str | Path) -> None:
    """Compare a file that `torch.save` wrote with the checksums in it.

    Torch writes a CRC-32 of each tensor and compares none when it reads: a changed byte would be
    another weight. Files from before torch 1.6 hold no checksums and pass.

    Raises:
        DataError: a byte is wrong.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except Exception as e:  # a damaged archive makes zipfile raise anything
        raise DataError(f"{path} must be a checkpoint, it is damaged ({first_line(e)})") from e
    if broken is not None:
        raise DataError(f"{path} must be a checkpoint, it is damaged (in {broken})")


def load_tensors(path: Path, *, device: torch.device | str, fault: Callable[[str], str]) -> Any:
    """What a file of ours holds, a mapping of tensors and plain data.

    Args:
        path: the file.
        device: where its tensors go.
        fault: makes of a reason the sentence that it cannot be read.

    Raises:
        DataError: that sentence.
    """
    try:
        must_be_intact(path)
        held = torch.load(path, map_location=device, weights_only=True)
    except Exception as e:  # a damaged file makes torch raise anything, struct.error for one
        raise DataError(fault(first_line(e))) from e
    if not isinstance(held, Mapping):
        raise DataError(fault(f"it holds a {type(held).__name__}"))
    return held


def first_line(error: BaseException) -> str:
    """What an error says, or its name where it says nothing."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
