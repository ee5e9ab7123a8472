"""Writes ONNX's own operators in place of the nodes of our domain; needs the package `onnx`."""

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


INNER = "/recurrence/"
"""In the names of all that is between a scan's operands and its result. Below float32 it would be
rounded at a price: a state is the product of as many decays as there are steps."""


WALKED = "/end_t/scan"
"""How the name ends of the node that gives a scan's states; those before it say from where."""


class _Names(dict[str, str]):
    """Names of a node's operands and result; each other value gets one that no other has."""

    def __missing__(self, name: str) -> str:
        return f"{self['y']}{INNER}{name}"


OPERANDS = ("dt", "drive", "rate", "B", "C", "start", "whole")


def _recurrence(node: Any, constants: set[str]) -> list[Any]:
    """The nodes that stand for one of ours, whose operands are those of `onnx_recurrence_op`."""
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    names = _Names(zip((*OPERANDS, "y"), (*node.input, *node.output), strict=True))
    if attributes["states"] == 1:
        return _of_one_state(names, in_chunks=bool(attributes["in_chunks"]))
    fixed = names["rate"] in constants
    return _of_several_states(names, at_once=attributes["at_once"], fixed=fixed)


def _of_one_state(names: _Names, *, in_chunks: bool) -> list[Any]:
    """All but the recurrence itself is done on whole sequences at once.

    Chunks are walked side by side, twice: from 0, which gives what each adds to the state, and
    from the state that each begins with.
    """
    return [
        _node(names, "Mul", "dt", "rate", to="log_decays"),
        _node(names, "Exp", "log_decays", to="decays"),
        _node(names, "Mul", "drive", "B", to="entering"),
        *(_chunk_states(names) if in_chunks else ()),
        _walk(names, "begin" if in_chunks else "start", to="states"),
        _node(names, "Mul", "states", "C", to="y"),
    ]


def _chunk_states(names: _Names) -> list[Any]:
    """`begin`, the state that each chunk begins with: from what each lets through and adds.

    What goes through a chunk is the exponential of its decays' sum, which is at most 0.
    """
    return [
        _constant(names, [0], to="first"),
        _constant(names, [-1], to="last"),
        _node(names, "ReduceSum", "log_decays", "first", to="log_through", keepdims=0),
        _node(names, "Exp", "log_through", to="through_flat"),
        _walk(names, "start", at="a", end="added_flat"),
        _node(names, "Shape", "whole", to="whole_shape"),
        _node(names, "Concat", "last", "whole_shape", to="chunk_shape", axis=0),
        _node(names, "Reshape", "through_flat", "chunk_shape", to="through"),
        _node(names, "Reshape", "added_flat", "chunk_shape", to="added"),
        _walk(names, "whole", at="s", read=("through", "added"), to="after"),
        _node(names, "Unsqueeze", "whole", "first", to="at_first"),
        _node(names, "Slice", "after", "first", "last", "first", to="but_last"),
        _node(names, "Concat", "at_first", "but_last", to="begin_of_each", axis=0),
        _node(names, "Shape", "start", to="start_shape"),
        _node(names, "Reshape", "begin_of_each", "start_shape", to="begin"),
    ]


SEQUENCES = ("dt", "drive", "B", "C")


def _of_several_states(names: _Names, *, at_once: int, fixed: bool) -> list[Any]:
    """Whole sequences of states would be as many times as large: the loop forms its own.

    OpenVINO (2026.4) lets a loop see constants alone of what is around it; a rate that is not
    `fixed` goes round with the state. It has no loops in loops, so a step of several of the
    sequence's is all of theirs, one after another.
    """
    rate = "rate" if fixed else "rate_t"
    step = [
        _node(names, "Mul", "dt_t", rate, to="log_decay_t"),
        _node(names, "Exp", "log_decay_t", to="decay_t"),
        _node(names, "Mul", "drive_t", "B_t", to="entering_t"),
        *(_advance(names, "t") if at_once == 1 else _advance_by_several(names, at_once)),
        _node(names, "MatMul", "C_t", "h_t" if at_once == 1 else "states_t", to="y_t"),
    ]
    carried = [("start" if at_once == 1 else "start_of_one", "before_t", "h_t", "end_t")]
    if not fixed:
        step.append(_node(names, "Identity", "rate_t", to="rate_after"))
        carried.append(("rate", "rate_t", "rate_after", "rate_end"))
    if at_once == 1:
        read = [(name, f"{name}_t") for name in SEQUENCES]
        return [_scan(names, step, carried, read, given=("y_t", "y"))]
    read = [(f"{name}_cut", f"{name}_t") for name in SEQUENCES]
    return [
        *_cut(names, at_once),
        _scan(names, step, carried, read, given=("y_t", "y_cut")),
        _node(names, "Reshape", "y_cut", "drive_shape", to="y"),
    ]


def _cut(names: _Names, at_once: int) -> list[Any]:
    """`*_cut` of each sequence, (L / at_once, at_once, ...); the state has an axis for a step."""
    nodes = [
        _constant(names, [0], to="first"),
        _constant(names, [1], to="second"),
        _constant(names, [9], to="all"),
        _constant(names, [-1, at_once], to="steps"),
        _node(names, "Unsqueeze", "start", "first", to="start_of_one"),
    ]
    for name in SEQUENCES:
        nodes += [
            _node(names, "Shape", name, to=f"{name}_shape"),
            _node(names, "Slice", f"{name}_shape", "second", "all", to=f"{name}_rest"),
            _node(names, "Concat", "steps", f"{name}_rest", to=f"{name}_new", axis=0),
            _node(names, "Reshape", name, f"{name}_new", to=f"{name}_cut"),
        ]
    return nodes


def _advance_by_several(names: _Names, steps: int) -> list[Any]:
    """`states_t`, (steps, ...), and `h_t`, the last of them, from `before_t`, (1, ...)."""
    nodes = [
        _split(names, each, [f"{each}_{i}" for i in range(steps)], f"{each}_t")
        for each in ("decay", "entering")
    ]
    states = [f"h_{i}" for i in range(steps)]
    for i, before in enumerate(("before_t", *states[:-1])):
        nodes += _advance(names, str(i), before)
    return [
        *nodes,
        _node(names, "Concat", *states, to="states_t", axis=0),
        _node(names, "Identity", states[-1], to="h_t"),
    ]


def _walk(
    names: _Names,
    start: str,
    *,
    at: str = "t",
    read: tuple[str, str] = ("decays", "entering"),
    to: str = "",
    end: str = "",
) -> Any:
    """The states along sequences of decays and of what enters, `to`, and the last one, `end`.

    Args:
        at: tells the values of its steps from those of other walks.
    """
    nodes, given = _advance(names, at), None
    if to:
        nodes.append(_node(names, "Identity", f"h_{at}", to=f"y_{at}"))
        given = (f"y_{at}", to)
    carried = [(start, f"before_{at}", f"h_{at}", end or f"end_{at}")]
    slices = [(read[0], f"decay_{at}"), (read[1], f"entering_{at}")]
    return _scan(names, nodes, carried, slices, given=given)


def _advance(names: _Names, at: str, before: str = "") -> list[Any]:
    """h = before * decay + entering. The state stands first in the product: OpenVINO (2026.4)
    writes into the first operand, and there a slice of a sequence is overwritten by the next one
    before the state that came to lie in its place is read."""
    return [
        _node(names, "Mul", before or f"before_{at}", f"decay_{at}", to=f"kept_{at}"),
        _node(names, "Add", f"kept_{at}", f"entering_{at}", to=f"h_{at}"),
    ]


def _node(
    names: _Names,
    kind: str,
    *operands: str,
    to: str,
    axis: int | None = None,
    keepdims: int | None = None,
) -> Any:
    return helper.make_node(
        kind, [names[name] for name in operands], [names[to]], axis=axis, keepdims=keepdims
    )


def _constant(names: _Names, numbers: list[int], *, to: str) -> Any:
    return helper.make_node("Constant", [], [names[to]], value_ints=numbers)


def _split(names: _Names, kind: str, parts: list[str], whole: str) -> Any:
    return helper.make_node("Split", [names[whole]], [names[part] for part in parts], axis=0)


def _scan(
    names: _Names,
    step: list[Any],
    carried: list[tuple[str, str, str, str]],
    read: list[tuple[str, str]],
    *,
    given: tuple[str, str] | None = None,
) -> Any:
    """ONNX's Scan of the nodes `step`, over the first axis of what is read.

    Args:
        carried: of each state its first value, what it is before and after a step, and at the end.
        read: of each sequence its name, and that of its slice.
        given: the step's result, and all of them; None where only the last state is wanted.
    """
    results, sequences = ([given[0]], [given[1]]) if given else ([], [])
    body = helper.make_graph(
        step,
        "step",
        [_value(names[name]) for name in (*(c[1] for c in carried), *(r[1] for r in read))],
        [_value(names[name]) for name in (*(c[2] for c in carried), *results)],
    )
    return helper.make_node(
        "Scan",
        [names[name] for name in (*(c[0] for c in carried), *(r[0] for r in read))],
        [names[name] for name in (*(c[3] for c in carried), *sequences)],
        name=f"{names[carried[0][3]]}/scan",
        body=body,
        num_scan_inputs=len(read),
    )


def _value(name: str) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
