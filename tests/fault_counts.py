"""How many damaged things are tried: a few with every run, all of them by `make test-faults`."""

import os


def how_many(usual: int, whole: int) -> int:
    """The count of this run."""
    return whole if os.environ.get("EVNAS_FAULTS") == "whole" else usual
