"""Writes ONNX's own operators in place of the nodes of our domain; needs the package `onnx`."""

from collections.abc import Mapping
from typing import Any

from onnx import TensorProto, helper

from evnas.kernels.onnx_form.recurrence import DOMAIN, NODE


def without_own_nodes(model: Any) -> Any:
    """The `onnx.ModelProto` with every node of our domain replaced, in place; the same model."""
    graph = model.graph
    nodes, constants = list(graph.node), {tensor.name for tensor in graph.initializer}
    del graph.node[:]
    for node in nodes:
        own = (node.domain, node.op_type) == (DOMAIN, NODE)
        graph.node.extend(_recurrence(node, constants) if own else [node])
    for opset in [opset for opset in model.opset_import if opset.domain == DOMAIN]:
        model.opset_import.remove(opset)
    return model


def _recurrence(node: Any, constants: set[str]) -> list[Any]:
    """The nodes that stand for one of ours, whose operands are those of `onnx_recurrence_op`."""
    (states,) = (attribute.i for attribute in node.attribute if attribute.name == "states")
    names = dict(zip(("dt", "drive", "rate", "B", "C", "start"), node.input, strict=True))
    names["y"] = node.output[0]
    # no other value has such names; they are those of the graph and of the loop alike
    names |= {name: f"{node.output[0]}/{name}" for name in INNER}
    if states == 1:
        return _of_one_state(names)
    return _of_several_states(names, fixed=names["rate"] in constants)


INNER = (
    *("log_decays", "decays", "entering", "states", "end", "rate_end"),
    *("before", "dt_t", "drive_t", "B_t", "C_t", "rate_t", "rate_after", "log_decay_t"),
    *("decay_t", "entering_t", "kept_t", "h_t", "y_t"),
)

DECAYS = ("/log_decays", "/decays")
"""Ends of the names of what is rounded below float32 at a price: a state is the product of as many
decays as there are steps."""


def _of_one_state(names: Mapping[str, str]) -> list[Any]:
    """All but the recurrence itself is done on whole sequences at once."""
    step = [*_advance(names), _node(names, "Identity", "h_t", to="y_t")]
    return [
        _node(names, "Mul", "dt", "rate", to="log_decays"),
        _node(names, "Exp", "log_decays", to="decays"),
        _node(names, "Mul", "drive", "B", to="entering"),
        _scan(
            names,
            step,
            carried=[("start", "before", "h_t", "end")],
            read=[("decays", "decay_t"), ("entering", "entering_t")],
            given=("y_t", "states"),
        ),
        _node(names, "Mul", "states", "C", to="y"),
    ]


def _of_several_states(names: Mapping[str, str], *, fixed: bool) -> list[Any]:
    """Whole sequences of states would be as many times as large: each step forms its own.

    OpenVINO (2026.4) lets a loop see constants alone of what is around it; a rate that is not
    `fixed` goes round with the state.
    """
    rate = "rate" if fixed else "rate_t"
    step = [
        _node(names, "Mul", "dt_t", rate, to="log_decay_t"),
        _node(names, "Exp", "log_decay_t", to="decay_t"),
        _node(names, "Mul", "drive_t", "B_t", to="entering_t"),
        *_advance(names),
        _node(names, "MatMul", "C_t", "h_t", to="y_t"),
    ]
    carried = [("start", "before", "h_t", "end")]
    if not fixed:
        step.append(_node(names, "Identity", "rate_t", to="rate_after"))
        carried.append(("rate", "rate_t", "rate_after", "rate_end"))
    read = [(name, f"{name}_t") for name in ("dt", "drive", "B", "C")]
    return [_scan(names, step, carried=carried, read=read, given=("y_t", "y"))]


def _advance(names: Mapping[str, str]) -> list[Any]:
    """h = before * decay + entering. The state stands first in the product: OpenVINO (2026.4)
    writes into the first operand, and there a slice of a sequence is overwritten by the next one
    before the state that came to lie in its place is read."""
    return [
        _node(names, "Mul", "before", "decay_t", to="kept_t"),
        _node(names, "Add", "kept_t", "entering_t", to="h_t"),
    ]


def _node(names: Mapping[str, str], kind: str, *operands: str, to: str) -> Any:
    return helper.make_node(kind, [names[name] for name in operands], [names[to]])


def _scan(
    names: Mapping[str, str],
    step: list[Any],
    *,
    carried: list[tuple[str, str, str, str]],
    read: list[tuple[str, str]],
    given: tuple[str, str],
) -> Any:
    """ONNX's Scan of the nodes `step`, over the first axis of what is read.

    Args:
        carried: of each state its first value, what it is before and after a step, and at the end.
        read: of each sequence its name, and that of its slice.
        given: the step's result, and all of them.
    """
    body = helper.make_graph(
        step,
        "step",
        [_value(names[name]) for name in (*(c[1] for c in carried), *(r[1] for r in read))],
        [_value(names[name]) for name in (*(c[2] for c in carried), given[0])],
    )
    return helper.make_node(
        "Scan",
        [names[name] for name in (*(c[0] for c in carried), *(r[0] for r in read))],
        [names[name] for name in (*(c[3] for c in carried), given[1])],
        name=f"{names['y']}/scan",
        body=body,
        num_scan_inputs=len(read),
    )


def _value(name: str) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
