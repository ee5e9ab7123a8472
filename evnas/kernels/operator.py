"""Operators that autograd, compilers and counters see whole, with little Python around a call.

`torch.library.custom_op` does the same; but it looks at every output for aliases and goes through
a general backward, Python that costs more than the work of a small operator when the caches are
cold, as they are between the layers of a model. Here a body is registered as it is, so it has to
return fresh tensors (`torch.library.opcheck` finds those that are not).
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.library import Library, infer_schema

NAMESPACE = "evnas"
_LIBRARY: Any = Library(NAMESPACE, "FRAGMENT")  # type: ignore[no-untyped-call] # torch's own

BODIES: dict[str, Callable[..., Any]] = {}
"""What an operator runs, by its name, for tools that run it without torch's dispatcher."""
_FAKES: dict[str, Callable[..., Any]] = {}
"""What an operator returns, without its values."""

Body = Callable[..., Any]
Gradient = Callable[..., tuple[Tensor | None, ...]]


def operator(name: str, *, schema: str = "") -> Callable[[Body], OpOverload]:
    """Register a body, on every device, as `evnas::<name>`.

    Args:
        name: without the namespace.
        schema: arguments and results in torch's words; "" reads them in the body's annotations.

    Returns:
        The operator, in place of the body.
    """

    def register(body: Body) -> OpOverload:
        @functools.wraps(body)
        def run(*args: Any, **kwargs: Any) -> Any:
            if args[0].shape[0] == 0:
                return _of_no_images(_FAKES[name](*args, **kwargs))
            if args[0].is_cuda:
                return on_its_device(body, *args, **kwargs)
            return body(*args, **kwargs)

        BODIES[name] = body
        _LIBRARY.define(name + (schema or infer_schema(body, mutates_args=())))
        _LIBRARY.impl(name, run, "CompositeExplicitAutograd")
        found: OpOverload = getattr(getattr(torch.ops, NAMESPACE), name).default
        return found

    return register


def on_its_device(body: Body, *args: Any, **kwargs: Any) -> Any:
    """Run a body with its first tensor's GPU as the current one: Triton launches kernels there."""
    if args[0].device.index == torch.cuda.current_device():
        return body(*args, **kwargs)  # by far the most, and the guard takes microseconds
    with torch.cuda.device(args[0].device):
        return body(*args, **kwargs)


def backward_schema(op: OpOverload) -> str:
    """The schema of an operator that takes the gradient of `op`'s one result, then all of `op`'s
    arguments, and gives a list of gradients."""
    arguments = str(op._schema).partition("(")[2].rpartition(") ->")[0]
    return f"(Tensor gy, {arguments}) -> Tensor[]"


def fake(op: OpOverload) -> Callable[[Body], Body]:
    """Register what an operator returns on tensors without data: shapes, dtypes and strides."""

    def register(body: Body) -> Body:
        torch.library.register_fake(op, body, lib=_LIBRARY)
        _FAKES[op._opname] = body
        return body

    return register


def _of_no_images(found: Any) -> Any:
    """A batch of no image: maps have no entries, and gradients of parameters are zero."""
    if isinstance(found, Tensor):
        return found.zero_()
    return type(found)(part.zero_() for part in found)


def differentiate(op: OpOverload, gradient: Gradient, *, setup: Callable[..., None]) -> None:
    """Give an operator its backward, which cannot be differentiated again.

    Args:
        op: from `operator`.
        gradient: (ctx, a gradient for each output) -> one for each input, None for those that
            have none.
        setup: (ctx, inputs, output) keeps what `gradient` needs, as in torch.autograd.Function.
    """

    def forward(ctx: Any, *inputs: Any) -> Any:
        with torch._C._AutoDispatchBelowAutograd():
            output = op(*inputs)
        setup(ctx, inputs, output)
        return output

    def backward(ctx: Any, *gradients: Any) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError(
                f"{NAMESPACE}::{op._opname} has no second derivative: differentiate it without "
                "create_graph, or take impl='reference'"
            )
        return gradient(ctx, *gradients)

    parts = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    function: Any = type(f"{NAMESPACE}_{op._opname}", (torch.autograd.Function,), parts)

    def run(*inputs: Any) -> Any:
        try:
            return function.apply(*inputs)
        except RuntimeError as e:
            if "functorch" not in str(e):
                raise
            raise RuntimeError(
                f"{NAMESPACE}::{op._opname} is not for torch.func: take impl='auto' or 'reference'"
            ) from e

    _LIBRARY.impl(op._opname, run, "Autograd")


def differentiate_by(op: OpOverload, backward: OpOverload) -> None:
    """Give an operator of one result its backward, itself an operator, and that one its fake.

    Args:
        op: from `operator`; its tensors come first among its arguments.
        backward: from `operator`, with `backward_schema(op)`; its gradients are those of the
            tensors that are given, each of the tensor's shape, dtype and device.
    """
    tensors = sum("Tensor" in str(argument.type) for argument in op._schema.arguments)

    def setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:tensors])
        ctx.options = inputs[tensors:]

    def gradient(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
        given = ctx.saved_tensors
        found = iter(backward(gy, *given, *ctx.options))
        return *(None if t is None else next(found) for t in given), *(None for _ in ctx.options)

    @fake(backward)
    def _(gy: Tensor, *inputs: Any) -> list[Tensor]:
        return [t.new_empty(t.shape) for t in inputs[:tensors] if t is not None]

    differentiate(op, gradient, setup=setup)
