"""The C++ compiler that torch's own compiler calls."""

import os
import shutil

COMPILERS = ("g++", "clang++", "c++")


def no_compiler() -> str:
    """What keeps torch's compiler from building for a CPU here; "" where nothing does."""
    named = os.environ.get("CXX", "")
    if any(shutil.which(name) for name in (named, *COMPILERS) if name):
        return ""
    return "no C++ compiler is here: install g++, or name one in CXX"
