"""A module that runs call by call does what it does at once."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from all_structures import STRUCTURES, batches, built, output, tensors
from reference import differences, ordinary, state
from structures import Forward, conv
from torch import nn
from torch.nn import functional as F

import spa_kernel as spa
from spa_kernel.errors import DataNeeded
from spa_kernel.frontends.torch.capture import device_of, normalise_inputs, record
from spa_kernel.frontends.torch.program import TorchProgram
from spa_kernel.obspa.program import copied

MODULES = nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm2d


def program_of(model: nn.Module, inputs: Any) -> TorchProgram:
    return TorchProgram(model, record(model, normalise_inputs(inputs, *device_of(model))))


def same(got: list[torch.Tensor], wanted: list[torch.Tensor]) -> None:
    assert len(got) == len(wanted)
    for x, y in zip(got, wanted, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-5)


def run(program: TorchProgram, batch: Any) -> list[torch.Tensor]:
    return [t.clone() for t in program.outputs(program.begin(batch))]


@pytest.mark.parametrize("name", STRUCTURES)
def test_outputs_are_the_models_at_any_batch_size(name: str) -> None:
    model, inputs = built(name)
    program, before = program_of(model, inputs), state(model)
    one = batches(inputs, 1, 1)[0]
    small = tuple(x[:1] for x in one) if isinstance(one, tuple) else one
    small = one[:1] if isinstance(one, torch.Tensor) else small
    given = [small, one, *batches(inputs, 2, 3)]
    for batch in given:
        copies = [t.clone() for t in tensors(batch)]
        same(run(program, batch), output(model, batch))
        assert all(torch.equal(a, b) for a, b in zip(copies, tensors(batch), strict=True))
    assert not differences(before, state(model))


def seen_by_hooks(model: nn.Module, batch: Any) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Inputs and outputs of layers that are called once."""
    found: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    twice = set()

    def note(name: str) -> Callable[..., None]:
        def hook(_: Any, args: Any, result: torch.Tensor) -> None:
            if name in found:
                twice.add(name)
            found[name] = args[0].clone(), result.clone()

        return hook

    layers = [(n, m) for n, m in model.named_modules() if isinstance(m, MODULES)]
    handles = [module.register_forward_hook(note(name)) for name, module in layers]
    output(model, batch)
    for handle in handles:
        handle.remove()
    return {name: pair for name, pair in found.items() if name not in twice}


@pytest.mark.parametrize("name", STRUCTURES)
def test_operands_and_results_are_what_hooks_see(name: str) -> None:
    model, inputs = built(name)
    program, batch = program_of(model, inputs), batches(inputs, 1, 3)[0]
    wanted, ops = seen_by_hooks(model, batch), {"Conv", "ConvTranspose", "Gemm"}
    going, found = program.begin(batch), 0
    for index, node in enumerate(program.graph.nodes[: program.graph.evaluated]):
        if node.op not in ops | {"BatchNormalization"} or node.name not in wanted:
            continue
        program.run(going, index, through=False)
        x = program.operand(going, index, 0)
        assert x is not None
        torch.testing.assert_close(x.flatten(), wanted[node.name][0].flatten())
        stored = program.operand(going, index, 1)
        assert stored is program.stored[f"{node.name}.weight"] or node.op == "Gemm"
        program.run(going, index, through=True)
        y = program.result(going, index)
        if y is not None:
            torch.testing.assert_close(y.flatten(), wanted[node.name][1].flatten())
        found += 1
    assert found
    same(program.outputs(going), output(model, batch))


def attending() -> nn.Module:
    return nn.TransformerEncoderLayer(16, 4, 24, batch_first=True, dropout=0.0)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(5, 8, 2, batch_first=True, bidirectional=True)
        self.last = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.last(self.rnn(x)[0][:, -1])
        return result


def in_place(s: Any, x: torch.Tensor) -> torch.Tensor:
    x = s.a(x)
    view = x[:, 2:]
    view *= 2
    x.add_(1).relu_()
    x[:, 0] = view[:, 1]
    return s.b(x).mean((2, 3))


def writes_into_its_input(s: Any, x: torch.Tensor) -> torch.Tensor:
    x -= 0.5
    return s.b(s.a(x.mul_(2))).mean((2, 3))


def writes_into_a_constant(s: Any, x: torch.Tensor) -> torch.Tensor:
    total = torch.zeros(6)
    total += s.a.bias
    x = s.b((s.a(x) + total[:, None, None]).relu())
    return x.mean((2, 3))


def forward(run: Callable[..., Any]) -> Callable[[], nn.Module]:
    return lambda: Forward(run, a=conv(3, 6), b=conv(6, 4))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "attention": (attending, (2, 5, 16)),
    "lstm": (Recurrent, (2, 6, 5)),
    "in place": (forward(in_place), (2, 3, 6, 6)),
    "writes into its input": (forward(writes_into_its_input), (2, 3, 6, 6)),
    "writes into a constant": (forward(writes_into_a_constant), (2, 3, 6, 6)),
    "channels last": (lambda: nn.Sequential(conv(3, 6), nn.BatchNorm2d(6), nn.ReLU(), conv(6, 4),
                                            nn.Flatten(), nn.Linear(144, 3)
                                            ).to(memory_format=torch.channels_last), (2, 3, 6, 6)),
    "half": (lambda: nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 3)).bfloat16(), (2, 6)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_kinds_of_calls(name: str) -> None:
    make, shape = NETWORKS[name]
    model = ordinary(make()).eval()
    example = torch.randn(shape).to(next(model.parameters()).dtype)
    program = program_of(model, example)
    for count in (1, 2, 7):
        x = torch.randn(count, *shape[1:]).to(example)
        if "last" in name:
            x = x.to(memory_format=torch.channels_last)
        # Twice: nothing of a batch may stay behind.
        for _ in range(2):
            same(run(program, x), output(model, x.clone()))


def test_batches_side_by_side() -> None:
    """Each goes on by itself, as does a copy; a tensor that is replaced is used from then on."""
    model, inputs = built("residual")
    program, given = program_of(model, inputs), batches(inputs, 3)
    places = [i for i, n in enumerate(program.graph.nodes) if n.op in ("Conv", "Gemm", "Add")]
    states = [program.begin(batch) for batch in given]
    twin = None
    for place in places:
        for one in states:
            program.run(one, place, through=False)
        if place == places[2]:
            twin = copied(states[0])
    for one, batch in zip(states, given, strict=True):
        same(program.outputs(one), output(model, batch))
    assert twin is not None
    same(program.outputs(twin), output(model, given[0]))
    one = program.begin(given[0])
    program.stored["head.2.bias"] = model.head[2].bias.detach() + 1
    same(program.outputs(one), [t + 1 for t in output(model, given[0])])


def test_random_numbers_stay_as_they_are() -> None:
    model, inputs = built("residual")
    before = torch.get_rng_state()
    run(program_of(model, inputs), batches(inputs, 1)[0])
    assert torch.equal(before, torch.get_rng_state())


def by_values(s: Any, x: torch.Tensor) -> torch.Tensor:
    """Values decide where it goes, and with that which operators there are."""
    x = s.a(x)
    return s.b(x.relu() if float(x.detach().sum()) > 0 else (-x).relu()).mean((2, 3))


def more_by_values(s: Any, x: torch.Tensor) -> torch.Tensor:
    x = s.a(x)
    return s.b(x if float(x.detach().sum()) > 0 else s.b(x).tanh()[:, :1] + x).mean((2, 3))


def test_a_forward_that_looks_at_values() -> None:
    model = Forward(by_values, a=conv(3, 6), b=conv(6, 4)).eval()
    x = torch.randn(2, 3, 6, 6)
    with torch.no_grad():
        model.a.bias.zero_()
        model.a.weight.fill_(0.1)
    program = program_of(model, x.abs())
    same(run(program, x.abs()), output(model, x.abs()))
    with pytest.raises(DataNeeded, match="on the example input"):
        run(program, -x.abs())


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (torch.randn(2, 5, 8, 8), "fails on a batch of shape (2, 5, 8, 8)"),
        (torch.randn(8), "fails on a batch of shape (8,)"),
        ((torch.randn(2, 3, 8, 8),) * 2, "fails on a batch of shape (2, 3, 8, 8), (2, 3, 8, 8)"),
        ({"picture": torch.randn(2, 3, 8, 8)}, "fails on a batch"),
        (torch.randint(3, (2, 3, 8, 8)), "fails on a batch"),
    ],
)
def test_a_batch_that_the_model_does_not_take(batch: Any, message: str) -> None:
    model, inputs = built("plain_chain")
    program, before = program_of(model, inputs), state(model)
    with pytest.raises(DataNeeded, match="Give batches of inputs") as caught:
        program.begin(batch)
    assert message in str(caught.value)
    assert "Sequential" in str(caught.value)
    assert not differences(before, state(model))


def test_a_batch_on_which_the_model_does_something_else() -> None:
    def by_size(s: Any, x: torch.Tensor) -> torch.Tensor:
        x = s.a(x)
        return s.b(F.max_pool2d(x, 2) if x.shape[-1] > 6 else x).mean((2, 3))

    model = Forward(by_size, a=conv(3, 6), b=conv(6, 4)).eval()
    program = program_of(model, (2, 3, 6, 6))
    with pytest.raises(DataNeeded, match="something else on a batch of shape \\(2, 3, 8, 8\\)"):
        program.begin(torch.randn(2, 3, 8, 8))


class Turned(nn.Module):
    """Weights that are stored in another order of axes than they are used in."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(3, 3, 3, 8))
        self.second = nn.Parameter(torch.randn(3, 3, 8, 6) / 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.conv2d(x, self.first.permute(3, 2, 0, 1)).relu()
        return F.conv2d(x, self.second.permute(3, 2, 0, 1)).mean((2, 3))


class Straight(nn.Module):
    def __init__(self, turned: Turned) -> None:
        super().__init__()
        self.first = nn.Parameter(turned.first.detach().permute(3, 2, 0, 1).clone())
        self.second = nn.Parameter(turned.second.detach().permute(3, 2, 0, 1).clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(F.conv2d(x, self.first).relu(), self.second).mean((2, 3))


def test_a_weight_that_is_turned_before_its_use_is_read_when_it_is_used() -> None:
    turned = Turned().eval()
    data, ends, costs = [torch.randn(16, 3, 9, 9) for _ in range(2)], [], []
    for model in (Straight(turned).eval(), turned):
        session = spa.analyze(model, data[0][:1])
        (scores,) = session.importance("obspa", data=data).values()
        costs.append(scores)
        session.prune(criterion="obspa", ratio=0.4, data=data)
        ends.append(output(model, data[0]))
    np.testing.assert_allclose(*costs, rtol=1e-4)
    same(*ends)


class LooksAtNumbers(nn.Module):
    """Has to be recorded on real tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 12), nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.a(x).unflatten(-1, (2, 6)).flatten(-2)
        out: torch.Tensor = self.b(x.relu() if bool((x > -1e9).all()) else x)
        return out


def test_a_recording_lets_go_of_what_was_computed() -> None:
    program, batch = program_of(LooksAtNumbers(), torch.randn(3, 6)), torch.randn(37, 6)
    state = program.begin(batch)
    assert state.tape.real
    gc.collect()
    known = {id(t) for t in (batch, *state.live.values())}
    tensors = [o for o in gc.get_objects() if type(o) is torch.Tensor and id(o) not in known]
    assert not [tuple(t.shape) for t in tensors if t.shape[:1] == (37,)]
