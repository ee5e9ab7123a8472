"""Writes ONNX's own operators in place of the nodes of our domain; needs the package `onnx`."""

from dataclasses import dataclass
from typing import Any

from onnx import TensorProto, helper

from evnas.kernels.onnx_form.recurrence import DOMAIN, NODE
from evnas.kernels.onnx_form.step_size import ATANH


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
PRODUCT = "low_rank/"
"""Stands before that in the name of a scan that also forms the product that step sizes are, of its
last operand but one."""


class _Names(dict[str, str]):
    """Names of a node's operands and result; each other value gets one that no other has."""

    def __missing__(self, name: str) -> str:
        return f"{self['y']}{INNER}{name}"


OPERANDS = ("x", "low", "rate", "B", "C", "start", "whole", "bias", "skip", "dt_weight")
"""Of several states the first six alone: `x` is what drives them, `low` the step sizes."""
SEQUENCES = ("B", "C", "low", "x")
FIXED = ("bias", "rate", "skip", "dt_weight")
"""What is the same in each step."""


@dataclass(frozen=True, slots=True)
class _GraphWalk:
    """A recurrence that is to be written as nodes."""

    names: _Names
    states: int
    routes: int
    softplus: bool
    loose: frozenset[str]
    """Of what is FIXED, what is no constant. OpenVINO (2026.4) lets a loop see constants alone of
    what is around it; such a one goes round with the state."""

    @property
    def low_rank(self) -> bool:
        """Whether step sizes are a product."""
        return "dt_weight" in self.names

    def fixed(self, name: str, at: str) -> str:
        """What a step of the loop `at` calls it."""
        return f"{name}_{at}" if name in self.loose else name

    def carried(self, at: str, *used: str) -> tuple[list[Any], list[tuple[str, str, str, str]]]:
        """Nodes of a step, and states of the loop, that hand on what is loose of those used."""
        loose = [name for name in used if name in self.loose]
        nodes = [_node(self.names, "Identity", f"{n}_{at}", to=f"{n}_after_{at}") for n in loose]
        return nodes, [(n, f"{n}_{at}", f"{n}_after_{at}", f"{n}_end_{at}") for n in loose]

    def entering(self, at: str) -> list[Any]:
        """`decay` of a step, or of several, its logarithm, and what is `entering` the state."""
        names, drive, dt = self.names, f"x_{at}", f"low_{at}"
        nodes: list[Any] = []
        if self.states == 1:
            drive, dt = f"drive_{at}", f"dt_{at}" if self.softplus else f"z_{at}"
            nodes = [*self._step_sizes(at), _node(names, "Mul", dt, f"x_{at}", to=drive)]
        return [
            *nodes,
            _node(names, "Mul", dt, self.fixed("rate", at), to=f"log_decay_{at}"),
            _node(names, "Exp", f"log_decay_{at}", to=f"decay_{at}"),
            _node(names, "Mul", drive, f"B_{at}", to=f"entering_{at}"),
        ]

    def _step_sizes(self, at: str) -> list[Any]:
        names, delta, nodes = self.names, f"low_{at}", list[Any]()
        if self.low_rank:
            weight, up = self.fixed("dt_weight", at), f"up_{at}"
            nodes, delta = [_node(names, "MatMul", delta, weight, to=up)], up
        nodes.append(_node(names, "Add", delta, self.fixed("bias", at), to=f"z_{at}"))
        return [*nodes, *(_softplus(names, at) if self.softplus else ())]

    def read_out(self, at: str, states: str) -> list[Any]:
        """`y` of a step, or of several."""
        names = self.names
        if self.states > 1:
            return [_node(names, "MatMul", f"C_{at}", states, to=f"y_{at}")]
        return [
            _node(names, "Mul", f"C_{at}", states, to=f"read_{at}"),
            _node(names, "Mul", f"x_{at}", self.fixed("skip", at), to=f"skipped_{at}"),
            _node(names, "Add", f"read_{at}", f"skipped_{at}", to=f"y_{at}"),
        ]


def _recurrence(node: Any, constants: set[str]) -> list[Any]:
    """The nodes that stand for one of ours, whose operands are those of `onnx_recurrence_op`."""
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    names = _Names(zip(OPERANDS, node.input, strict=False))
    names["y"] = node.output[0]
    walk = _GraphWalk(
        names,
        states=attributes["states"],
        routes=attributes["routes"],
        softplus=bool(attributes["softplus"]),
        loose=frozenset(n for n in FIXED if n in names and names[n] not in constants),
    )
    if attributes["in_chunks"]:
        return _in_chunks(walk)
    return _in_one_go(walk, at_once=attributes["at_once"])


def _in_one_go(walk: _GraphWalk, *, at_once: int) -> list[Any]:
    """One loop does all, so that a core's cache holds what a step of it makes.

    OpenVINO (2026.4) has no loops in loops, so a step of several of the sequence's is all of
    theirs, one after another.
    """
    names, several = walk.names, at_once > 1
    handed, carried = walk.carried("t", *FIXED)
    step = [
        *walk.entering("t"),
        *(_advance_by_several(names, at_once) if several else _advance(names, "t")),
        *walk.read_out("t", "states_t" if several else "h_t"),
        *handed,
    ]
    state = ("start_of_one" if several else "start", "before_t", "h_t", "end_t")
    read = [(f"{name}_cut" if several else name, f"{name}_t") for name in SEQUENCES]
    given = [("y_t", "y_cut" if several else "y")]
    scan = _scan(names, step, [state, *carried], read, given=given, with_product=walk.low_rank)
    if not several:
        return [scan]
    return [*_cut(names, at_once), scan, _node(names, "Reshape", "y_cut", "x_shape", to="y")]


def _in_chunks(walk: _GraphWalk) -> list[Any]:
    """Chunks are walked side by side, twice: from 0, which gives what each adds to the state, and
    from the state that each begins with. The first walk leaves its decays to the second."""
    names = walk.names
    handed, carried = walk.carried("a", "bias", "rate", "dt_weight")
    first = [
        *walk.entering("a"),
        *_advance(names, "a"),
        _node(names, "Add", "log_before_a", "log_decay_a", to="log_after_a"),
        *handed,
    ]
    handed, more = walk.carried("t", "skip")
    second = [*_advance(names, "t"), *walk.read_out("t", "h_t"), *handed]
    return [
        _scan(
            names,
            first,
            [
                ("start", "before_a", "h_a", "added_flat"),
                ("start", "log_before_a", "log_after_a", "log_through"),
                *carried,
            ],
            [(name, f"{name}_a") for name in SEQUENCES if name != "C"],
            given=[("decay_a", "decays"), ("entering_a", "entering")],
            with_product=walk.low_rank,
        ),
        *_chunk_states(names, walk.routes),
        _scan(
            names,
            second,
            [("begin", "before_t", "h_t", "end_t"), *more],
            [("decays", "decay_t"), ("entering", "entering_t"), ("C", "C_t"), ("x", "x_t")],
            given=[("y_t", "y")],
        ),
    ]


def _chunk_states(names: _Names, routes: int) -> list[Any]:
    """`begin`, the state that each chunk begins with: from what each lets through and adds.

    What goes through a chunk is the exponential of its decays' sum, which is at most 0.
    """
    return [
        _constant(names, [0], to="first"),
        _constant(names, [1], to="second"),
        _constant(names, [9], to="all"),
        _constant(names, [-1], to="last"),
        _constant(names, [routes, -1], to="chunks_of_routes"),
        _node(names, "Exp", "log_through", to="through_flat"),
        _node(names, "Shape", "whole", to="whole_shape"),
        _node(names, "Slice", "whole_shape", "second", "all", to="one_chunk"),
        _node(names, "Concat", "chunks_of_routes", "one_chunk", to="chunk_shape", axis=0),
        *_chunks_first(names, "through_flat", to="through"),
        *_chunks_first(names, "added_flat", to="added"),
        _scan(
            names,
            [*_advance(names, "s"), _node(names, "Identity", "h_s", to="after_s")],
            [("whole", "before_s", "h_s", "end_s")],
            [("through", "decay_s"), ("added", "entering_s")],
            given=[("after_s", "after")],
        ),
        _node(names, "Unsqueeze", "whole", "first", to="at_first"),
        _node(names, "Slice", "after", "first", "last", "first", to="but_last"),
        _node(names, "Concat", "at_first", "but_last", to="begin_of_each", axis=0),
        _transposed(names, "begin_of_each", to="begin_by_route"),
        _node(names, "Shape", "start", to="start_shape"),
        _node(names, "Reshape", "begin_by_route", "start_shape", to="begin"),
    ]


def _chunks_first(names: _Names, flat: str, *, to: str) -> list[Any]:
    """(K, S * Bt, Dm) -> (S, K, Bt, Dm)."""
    return [
        _node(names, "Reshape", flat, "chunk_shape", to=f"{to}_by_route"),
        _transposed(names, f"{to}_by_route", to=to),
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
        _split(names, [f"{each}_{i}" for i in range(steps)], f"{each}_t")
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


def _advance(names: _Names, at: str, before: str = "") -> list[Any]:
    """h = before * decay + entering. The state stands first in the product: OpenVINO (2026.4)
    writes into the first operand, and there a slice of a sequence is overwritten by the next one
    before the state that came to lie in its place is read."""
    return [
        _node(names, "Mul", before or f"before_{at}", f"decay_{at}", to=f"kept_{at}"),
        _node(names, "Add", f"kept_{at}", f"entering_{at}", to=f"h_{at}"),
    ]


def _softplus(names: _Names, at: str) -> list[Any]:
    """`dt` of `z`: the nodes of `step_size.softplus_form`."""
    numbers = {"two": 2.0} | {f"series_{i}": value for i, value in enumerate(ATANH)}
    nodes = [_number(names, value, to=f"{name}_{at}") for name, value in numbers.items()]

    def then(kind: str, *operands: str, to: str) -> None:
        nodes.append(_node(names, kind, *(f"{o}_{at}" for o in operands), to=f"{to}_{at}"))

    then("Abs", "z", to="size")
    then("Neg", "size", to="minus_size")
    then("Exp", "minus_size", to="w")
    then("Add", "w", "two", to="w_and_two")
    then("Div", "w", "w_and_two", to="s")
    then("Mul", "s", "s", to="q")
    then("Mul", "q", "series_3", to="third")
    then("Add", "third", "series_2", to="second_sum")
    then("Mul", "second_sum", "q", to="second")
    then("Add", "second", "series_1", to="first_sum")
    then("Mul", "first_sum", "q", to="first")
    then("Add", "first", "series_0", to="series")
    then("Mul", "series", "s", to="logarithm")
    then("Relu", "z", to="positive")
    then("Add", "positive", "logarithm", to="dt")
    return nodes


def _node(
    names: _Names,
    kind: str,
    *operands: str,
    to: str,
    axis: int | None = None,
) -> Any:
    return helper.make_node(kind, [names[name] for name in operands], [names[to]], axis=axis)


def _constant(names: _Names, numbers: list[int], *, to: str) -> Any:
    return helper.make_node("Constant", [], [names[to]], value_ints=numbers)


def _transposed(names: _Names, operand: str, *, to: str) -> Any:
    """Its first two of four axes."""
    return helper.make_node("Transpose", [names[operand]], [names[to]], perm=[1, 0, 2, 3])


def _number(names: _Names, value: float, *, to: str) -> Any:
    return helper.make_node("Constant", [], [names[to]], value_float=value)


def _split(names: _Names, parts: list[str], whole: str) -> Any:
    return helper.make_node("Split", [names[whole]], [names[part] for part in parts], axis=0)


def _scan(
    names: _Names,
    step: list[Any],
    carried: list[tuple[str, str, str, str]],
    read: list[tuple[str, str]],
    *,
    given: list[tuple[str, str]],
    with_product: bool = False,
) -> Any:
    """ONNX's Scan of the nodes `step`, over the first axis of what is read.

    Args:
        carried: of each state its first value, what it is before and after a step, and at the end.
        read: of each sequence its name, and that of its slice.
        given: of each of a step's results its name, and that of all of them.
        with_product: whether the nodes form that of the step sizes.
    """
    results, sequences = [names[g[0]] for g in given], [names[g[1]] for g in given]
    body = helper.make_graph(
        step,
        "step",
        [_value(names[name]) for name in (*(c[1] for c in carried), *(r[1] for r in read))],
        [_value(name) for name in (*(names[c[2]] for c in carried), *results)],
    )
    return helper.make_node(
        "Scan",
        [names[name] for name in (*(c[0] for c in carried), *(r[0] for r in read))],
        [*(names[c[3]] for c in carried), *sequences],
        name=f"{names[(PRODUCT if with_product else '') + carried[0][3]]}/scan",
        body=body,
        num_scan_inputs=len(read),
    )


def _value(name: str) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
