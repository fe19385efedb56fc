"""Which values have no negative entry, whatever the weights are."""

from __future__ import annotations

from spa_kernel.graph.ir import Graph, Node, Value

ALWAYS = frozenset(
    {"Relu", "Sigmoid", "HardSigmoid", "Softmax", "Abs", "Exp", "Sqrt", "Softplus"}
    | {"ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceStd", "ReduceVar"}
)
KEPT = frozenset(
    {"Identity", "Cast", "Dropout", "Reshape", "Transpose", "Slice", "Split", "Concat", "Expand"}
    | {"Tile", "Add", "Mul", "Div", "Max", "Min", "CumSum", "DepthToSpace", "Roll", "Floor"}
    | {"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"}
    | {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"}
)
"""Without a negative entry where no operand has one."""


class Signs:
    """Answers for the values of one graph."""

    def __init__(self, graph: Graph) -> None:
        self._made = {out: node for node in graph.nodes for out in node.outputs}
        self._known: dict[Value, bool] = {}

    def nonnegative(self, value: Value) -> bool:
        """Whether no entry can be negative."""
        waiting = [value]
        while waiting:
            current = waiting[-1]
            node = self._made.get(current)
            if current in self._known:
                waiting.pop()
                continue
            operands: list[Value] = []
            if node is not None and node.op in KEPT and not negative_number(node):
                operands = [v for v in node.inputs if v is not None]
            missing = [v for v in operands if v not in self._known]
            if missing:
                waiting += missing
                continue
            always = node is not None and (node.op in ALWAYS or even(node))
            self._known[current] = always or (
                bool(operands) and all(self._known[v] for v in operands)
            )
        return self._known[value]


def negative_number(node: Node) -> bool:
    """Whether a negative number takes part (zero is as good as none)."""
    numbers = [node.attrs.get(name) for name in ("scalar", "alpha", "beta")]
    return any(isinstance(n, int | float) and n < 0 for n in numbers)


def even(node: Node) -> bool:
    """An even power, or a cut at zero or above."""
    if node.op == "Clip":
        low = node.attrs.get("min")
        return isinstance(low, int | float) and low >= 0 and len(node.inputs) == 1
    return node.op == "Square" and node.attrs.get("exponent", 1) % 2 == 0
