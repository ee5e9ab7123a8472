"""The C++ compiler that torch's own compiler calls, and what that says meanwhile."""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

COMPILERS = ("g++", "clang++", "c++")
TELLS_OF_CUDA = "torch.utils.cpp_extension"
"""The module that warns, when it is first imported, of a CUDA toolkit without a GPU."""


def no_compiler() -> str:
    """What keeps torch's compiler from building for a CPU here; "" where nothing does."""
    named = os.environ.get("CXX", "")
    if any(shutil.which(name) for name in (named, *COMPILERS) if name):
        return ""
    return "no C++ compiler is here: install g++, or name one in CXX"


@contextmanager
def no_word_of_cuda() -> Iterator[None]:
    """Within, torch does not warn that a CUDA toolkit is here and no GPU, which says nothing of
    what is compiled for a CPU; all else that it logs is heard."""
    logger = logging.getLogger(TELLS_OF_CUDA)

    def other(record: logging.LogRecord) -> bool:
        return "No CUDA runtime is found" not in record.getMessage()

    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)
