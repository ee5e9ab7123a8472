"""A text column of many rows and few distinct texts: a number per row, and each text once."""

from array import array
from collections import Counter
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


class TextColumn:
    """Reads like a list of str; `codes` and `distinct` are how it is kept."""

    def __init__(self) -> None:
        self.distinct: list[str] = []
        self.codes: array[int] = array("I")
        self._code_of: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, row: int) -> str:
        return self.distinct[self.codes[row]]

    def __setitem__(self, row: int, text: str) -> None:
        self.codes[row] = self._code(text)

    def __iter__(self) -> Iterator[str]:
        return (self.distinct[code] for code in self.codes)

    def append(self, text: str) -> None:
        """One row more."""
        self.codes.append(self._code(text))

    def coded(self) -> NDArray[np.uint32]:
        """A copy of the codes, (rows,), which stays as it is while rows are added."""
        return np.array(self.codes, dtype=np.uint32)

    def count(self) -> Counter[str]:
        """How many rows have each text."""
        numbers = np.bincount(self.coded(), minlength=len(self.distinct))
        return Counter({t: int(n) for t, n in zip(self.distinct, numbers, strict=True) if n})

    def is_one(self, text: str) -> NDArray[np.bool_]:
        """Which rows have that text, (rows,)."""
        code = self._code_of.get(text)
        same: NDArray[np.bool_] = self.coded() == (-1 if code is None else code)
        return same

    def _code(self, text: str) -> int:
        code = self._code_of.setdefault(text, len(self.distinct))
        if code == len(self.distinct):
            self.distinct.append(text)
        return code
