"""Searches and sweeps under way. The room itself can be called: `evnas.search(...)`.

The import system puts this module where the function of that name would be, so the module
answers for it; `evnas.api.search` is the function.
"""

import importlib
import inspect
import sys
from types import ModuleType
from typing import Any


class _Room(ModuleType):
    @property
    def __call__(self) -> Any:
        # by name: this room stands below the API that composes it with reports
        return importlib.import_module("evnas.api").search

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.__call__)


sys.modules[__name__].__class__ = _Room
