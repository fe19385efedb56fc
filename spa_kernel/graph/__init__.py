"""The standard graph, and per operator family the relations between axes."""

from spa_kernel.graph import (
    ops_control,
    ops_elementwise,
    ops_index,
    ops_linear,
    ops_matrix,
    ops_norm,
    ops_probed,
    ops_recurrent,
    ops_shape,
    ops_window,
)
from spa_kernel.graph.ir import Axis, Graph, Node, Value
from spa_kernel.graph.operators import OPERATORS, operator, statements

__all__ = [
    "OPERATORS",
    "Axis",
    "Graph",
    "Node",
    "Value",
    "operator",
    "ops_control",
    "ops_elementwise",
    "ops_index",
    "ops_linear",
    "ops_matrix",
    "ops_norm",
    "ops_probed",
    "ops_recurrent",
    "ops_shape",
    "ops_window",
    "statements",
]
