"""The filter line over a snapshot: words, `params_m<10`, `status:diverged`, `-word` for without.

The page reads the same lines (static/js/filter.js); a test holds the two together.
"""

import operator
import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from evnas.errors import SpecError
from evnas.report.frame.snapshot import Snapshot
from evnas.tables import quantity_of

Mask = NDArray[np.bool_]
SEARCHED = (
    "mixers",
    "status",
    "dims",
    "depths",
    "changed",
    "blocks",
    "origin",
    "error",
    "label",
    "digest",
)
"""Text columns in which a bare word is looked for."""
_TOKEN = re.compile(r'"[^"]*"|\S+')
_BOUND = re.compile(r"([\w@.-]+?)(<=|>=|<|>|=)(.+)", re.ASCII)
_FIELD = re.compile(r"(-?)([a-z]\w*):(.+)", re.ASCII)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
_SIGNS: dict[str, Callable[[NDArray[np.float64], float], Mask]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
}


def apply_filter(line: str, columns: Snapshot) -> Mask:
    """Which rows the line lets through, (rows,).

    Raises:
        SpecError: the line cannot be read; the sentence says what is wrong.
    """
    kept = np.ones(len(columns), dtype=bool)
    for token in _TOKEN.findall(line):
        kept &= _test(token, columns)
    return kept


def _test(token: str, columns: Snapshot) -> Mask:
    if bound := _BOUND.fullmatch(token):
        return _compared(bound[1], bound[2], bound[3], columns=columns)
    if field := _FIELD.fullmatch(token):
        held = _within(field[2], field[3].replace('"', "").lower(), columns=columns)
        return ~held if field[1] else held
    without = token.startswith("-") and len(token) > 1
    word = token[without:].replace('"', "").lower()
    found = np.zeros(len(columns), dtype=bool)
    for name in SEARCHED:
        found |= columns.text[name].where([word in t.lower() for t in columns.text[name].distinct])
    return ~found if without else found


def _compared(name: str, sign: str, text: str, *, columns: Snapshot) -> Mask:
    key = columns.resolve(name)
    if key is None:
        known = list(dict.fromkeys(quantity_of(k) for k in columns.numbers if ":" not in k))
        raise SpecError(f"no column is called {name}; one of {', '.join(known[:12])}")
    number = text.replace(",", "")
    if not _NUMBER.fullmatch(number):
        raise SpecError(f"{name}{sign} needs a number, got {text}")
    return _SIGNS[sign](columns.numbers[key], float(number))


def _within(name: str, word: str, *, columns: Snapshot) -> Mask:
    if name not in columns.text:
        raise SpecError(f"no text column is called {name}; one of {', '.join(columns.text)}")
    column = columns.text[name]
    if name == "label":
        return column.where([t.lower() == word for t in column.distinct])
    return column.where([word in t.lower() for t in column.distinct])
