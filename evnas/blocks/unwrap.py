"""What training code wraps around a state dict, taken off by rules until nothing is left of it.

A checkpoint nests its weights under a word of its own, once or several times; data parallelism,
averages and a model inside another put a word before every key; compilers and shards put theirs
anywhere; profilers and averages leave counters.
"""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from evnas.errors import DataError

AVERAGED = frozenset({"ema", "average", "averaged", "swa"})
"""Words in the names under which checkpoints keep averaged weights."""

NOT_WEIGHTS = ("optim", "sched", "scaler", "amp", "rng")
"""Parts of the names of what has tensors and is no model."""

NESTS = ("model", "state_dict", "module", "model_state_dict", "net", "network", "backbone")
"""Where checkpoints keep their state dict, tried in this order behind averaged ones, which are
those of the printed accuracy in EfficientViM's: `model_ema` beside `model`."""

INSERTED = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Modules that torch puts around others: of compilation, sharding and recomputation."""

COUNTERS = frozenset({"total_ops", "total_params", "n_averaged"})
"""Buffers of profilers and of averages."""


def unwrapped(held: Mapping[str, Any]) -> dict[str, Any]:
    """The state dict in a checkpoint, under the model's own names.

    Raises:
        DataError: it may be one of several parts of the checkpoint, or taking off what was put
            around it makes two keys one.
    """
    found = dict(held)
    while (inner := _nested(found)) is not None:
        found = inner
    found = {key: value for key, value in found.items() if not _is_counter(str(key))}
    found = _renamed(found, _without_inserted)
    while (prefix := _shared_prefix(found)) is not None:
        found = _renamed(found, operator.methodcaller("removeprefix", prefix))
    return found


def _nested(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """The part of a checkpoint that holds the weights; None where this is a state dict itself."""
    parts = {
        str(key): value
        for key, value in found.items()
        if isinstance(value, Mapping) and _holds_weights(value)
        if not any(word in str(key).lower() for word in NOT_WEIGHTS)
    }
    if not parts or any(isinstance(v, Tensor) and "." in str(k) for k, v in found.items()):
        return None
    averaged = [key for key in parts if AVERAGED & set(re.split(r"\W|_", key.lower()))]
    named = averaged or [nest for nest in NESTS if nest in parts] or list(parts)
    if len(parts) > 1 and not averaged and named[0] not in NESTS:
        raise DataError(
            f"a checkpoint must hold one state dict, or name one of them {', '.join(NESTS)}; "
            f"got {', '.join(parts)}"
        )
    return dict(parts[named[0]])


def _holds_weights(part: Mapping[Any, Any]) -> bool:
    """Tensors under names, here or further in; an optimizer counts its own by number."""
    return any(
        isinstance(key, str)
        and (isinstance(value, Tensor) or (isinstance(value, Mapping) and _holds_weights(value)))
        for key, value in part.items()
    )


def _shared_prefix(found: Mapping[str, Any]) -> str | None:
    """`module.`, where every key begins with it; a model of ours has several children."""
    firsts = {key.partition(".")[0] if "." in key else None for key in found}
    first = firsts.pop() if len(firsts) == 1 else None
    return None if first is None else f"{first}."


def _without_inserted(key: str) -> str:
    return ".".join(part for part in key.split(".") if part not in INSERTED)


def _is_counter(key: str) -> bool:
    return _without_inserted(key).rpartition(".")[2] in COUNTERS


def _renamed(found: Mapping[str, Any], rename: Callable[[str], str]) -> dict[str, Any]:
    renamed: dict[str, Any] = {}
    for key, value in found.items():
        name = rename(str(key))
        if name in renamed:
            raise DataError(f"a state dict must have one value a key, got two of {name}")
        renamed[name] = value
    return renamed
