"""What stands between a model and torch: hears of every operator that runs, and runs it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode


class OperatorWatch(TorchDispatchMode, ABC):
    """Within it, `run` is called in place of each operator; views and copies are operators too."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()  # type: ignore[no-untyped-call] # torch's own

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: to keep torch's compiler out of `__torch_dispatch__`, torch would load it, which
        costs seconds in each process that counts, where nothing is compiled."""
        return False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch's own

    @abstractmethod
    def run(self, func: OpOverload, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The operator's result."""

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        return self.run(func, args, kwargs or {})
