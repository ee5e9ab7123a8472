"""Batch norm over a step: its running statistics move once a step, by the mean of all batches
that the step adds up, whichever device saw them and when.

Normalising itself is by the batch a device takes at a time. Without this, eight accumulated
batches would move the statistics eight times as fast as eight devices do.
"""

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class StepStatistics:
    """Sets the momentum of a model's batch norms for each batch of a step."""

    def __init__(self, model: nn.Module, accumulate: int) -> None:
        self._accumulate = accumulate
        self._norms = [
            (norm, norm.momentum)
            for norm in model.modules()
            if isinstance(norm, _BatchNorm) and norm.momentum is not None
        ]

    def begin_batch(self, turn: int) -> None:
        """Before the forward of batch `turn`, from 0, of a step."""
        if self._accumulate == 1:
            return
        for norm, momentum in self._norms:
            norm.momentum = momentum_of_turn(momentum, turn, self._accumulate)

    def end_step(self) -> None:
        """Give the momenta back, and count the step as one batch."""
        for norm, momentum in self._norms:
            norm.momentum = momentum
            if self._accumulate > 1 and norm.training and norm.num_batches_tracked is not None:
                norm.num_batches_tracked -= self._accumulate - 1

    def buffers(self) -> list[Tensor]:
        """Running means and variances of norms in training, to be averaged over devices."""
        return [
            value
            for norm, _ in self._norms
            if norm.training
            for value in (norm.running_mean, norm.running_var)
            if value is not None
        ]


def momentum_of_turn(momentum: float, turn: int, accumulate: int) -> float:
    """The momentum with which each of `accumulate` updates counts alike: in the end the old value
    has 1 - momentum, and each batch momentum / accumulate."""
    share = momentum / accumulate
    return share / (1 - (accumulate - 1 - turn) * share)
