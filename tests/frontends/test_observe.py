import gc
import weakref
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import spa_kernel as spa
from spa_kernel.frontends.torch.capture import _record
from spa_kernel.frontends.torch.recorder import Recorder
from spa_kernel.frontends.torch.statistics.kept import Kept
from spa_kernel.frontends.torch.statistics.observe import Observer, observe
from spa_kernel.frontends.torch.statistics.run import Run
from spa_kernel.graph.ir import Node


class Written(nn.Module):
    """Writes in place, through views and past them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1), nn.Linear(8, 4)
        self.register_buffer("count", torch.zeros(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.a(x)
        one, two = x.chunk(2, 1)
        one.relu_()
        x[:, :2] *= 2
        x = F.relu(self.b(x + torch.cat([two, one], 1)), inplace=True)
        self.count.add_(1)
        y = x.flatten(2).transpose(1, 2)
        x.add_(1)
        return self.c(y.mean(1) + self.count)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(3, 8, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cell(x)[0][:, -1])


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.norm = nn.RMSNorm(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = torch.ones(x.shape[1], x.shape[1]).triu(1).bool()
        return self.norm(self.layer(self.table(x), src_mask=mask)) @ self.table.weight.T


NETWORKS: dict[str, tuple[Any, torch.Tensor]] = {
    "written": (Written, torch.randn(2, 3, 5, 5)),
    "recurrent": (Recurrent, torch.randn(2, 6, 3)),
    "tokens": (Tokens, torch.randint(0, 20, (2, 7))),
}


def run_of(model: nn.Module, data: list[torch.Tensor]) -> Run:
    session = spa.analyze(model, data[0])
    backend: Any = session.backend
    run = Run(model, backend.inputs, backend._recorder, session.analysis.coupling, data, None, 0)
    run.kept = Kept(model)
    return run


@pytest.mark.parametrize("name", NETWORKS)
def test_the_graph_is_that_of_a_recording_with_every_tensor_in_its_place(name: str) -> None:
    make, x = NETWORKS[name]
    model = make().eval()
    recorder = _record(model, ((x,), {}), Recorder(model, True), None)
    seen: list[Node] = []

    def see(observer: Observer, node: Node, _: Any) -> None:
        seen.append(node)
        for value in (*node.inputs, *node.outputs):
            tensor = observer.tensor(value) if value is not None else None
            assert tensor is None or tuple(tensor.shape) == value.shape
        if node.op in ("Conv", "Gemm", "MatMul") and node.name != "cell":
            assert all(observer.tensor(v) is not None for v in node.inputs if v is not None)

    before = {k: v.clone() for k, v in model.state_dict().items()}
    observe(run_of(model, [x]), see)
    if name != "recurrent":  # states that nobody uses are dropped from a recording afterwards
        nodes = [n for n in seen if n.op != "SharedMemory"]
        assert [(n.op, n.name) for n in nodes] == [(n.op, n.name) for n in recorder.graph.nodes]
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_what_is_shown_is_what_the_program_computes() -> None:
    model = Tokens().eval()
    x = NETWORKS["tokens"][1]
    inputs: dict[str, torch.Tensor] = {}
    hooks = [
        getattr(model.layer, name).register_forward_pre_hook(
            lambda _, args, name=name: inputs.update({f"layer.{name}": args[0].flatten(0, 1)})
        )
        for name in ("linear1", "linear2")
    ]
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            model(x)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    for hook in hooks:
        hook.remove()
    found = {}

    def see(observer: Observer, node: Node, _: Any) -> None:
        if node.op == "Gemm" and node.name in inputs:
            found[node.name] = observer.tensor(node.inputs[0]).clone()

    observe(run_of(model, [x]), see)
    assert found.keys() == inputs.keys()
    assert all(torch.allclose(found[k], inputs[k], atol=1e-6) for k in inputs)


def test_activations_are_let_go() -> None:
    model = nn.Sequential(*(nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU()) for _ in range(30)))
    references: list[weakref.ref[torch.Tensor]] = []
    most = 0

    def see(observer: Observer, node: Node, _: Any) -> None:
        nonlocal most
        for value in node.outputs:
            tensor = observer.tensor(value)
            if tensor is not None:
                references.append(weakref.ref(tensor))
        most = max(most, sum(r() is not None for r in references))

    gc.disable()
    try:
        observe(run_of(model, [torch.randn(2, 4, 8, 8)] * 2), see)
    finally:
        gc.enable()
    assert 0 < most <= 4
