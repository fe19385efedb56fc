"""The person's own module is pruned in place: everything about it that is not a size stays."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from reference import differences, error, state
from torch import nn
from trained_network import OPTIMIZERS, WISHES, batch, train

import spa_kernel as spa


def test_same_object_same_parameters(model: nn.Module, session: spa.Session) -> None:
    tensors = {n: id(t) for n, t in (*model.named_parameters(), *model.named_buffers())}
    flags = {n: p.requires_grad for n, p in model.named_parameters()}
    modules = {n: (id(m), type(m)) for n, m in model.named_modules()}
    session.prune(**WISHES)
    assert session.model is model
    assert {n: (id(m), type(m)) for n, m in model.named_modules()} == modules
    now = {n: id(t) for n, t in (*model.named_parameters(), *model.named_buffers())}
    assert now == tensors
    assert {n: p.requires_grad for n, p in model.named_parameters()} == flags
    assert all(isinstance(p, nn.Parameter) for p in model.parameters())
    assert all(p.is_leaf for p in model.parameters())


def test_attributes_describe_the_smaller_layers(model: Any, session: spa.Session) -> None:
    session.prune(**WISHES)
    assert (model.stem.out_channels, model.norm.num_features) == (4, 4)
    assert (model.inner.in_channels, model.inner.out_channels) == (4, 6)
    assert (model.left.in_features, model.left.out_features) == (4, 8)
    assert model.head.out_features == 4
    numbers = [model.stem.out_channels, model.inner.in_channels, model.left.out_features]
    assert {type(n) for n in numbers} == {int}


def test_ties_stay_tied(model: Any, session: spa.Session) -> None:
    session.prune(**WISHES)
    assert model.right.weight is model.left.weight
    assert model.left.weight.shape == (8, 4)
    session.undo()
    assert model.right.weight is model.left.weight
    assert model.left.weight.shape == (16, 8)


@pytest.mark.parametrize("training", [True, False])
def test_modes_stay(model: Any, session: spa.Session, training: bool) -> None:
    model.train(training)
    model.norm.train(not training)
    modes = {n: m.training for n, m in model.named_modules()}
    session.prune(**WISHES)
    assert {n: m.training for n, m in model.named_modules()} == modes
    session.undo()
    assert {n: m.training for n, m in model.named_modules()} == modes


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_types_stay(model: nn.Module, dtype: torch.dtype) -> None:
    model = model.to(dtype)
    original, before = copy.deepcopy(model), state(model)
    session = spa.analyze(model, torch.randn(2, 3, 8, 8, dtype=dtype))
    report = session.prune(**WISHES)
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert report.verified
    assert error(original, report.plan.kept, model, batch()[0]) < 1e-6
    session.undo()
    assert not differences(before, state(model))


def test_hooks_stay_and_fire(model: Any, session: spa.Session) -> None:
    seen: list[Any] = []
    model.inner.register_forward_hook(lambda m, i, o: seen.append(tuple(o.shape)))
    model.outer.register_forward_pre_hook(lambda m, i: seen.append("pre"))
    model.head.register_full_backward_hook(lambda m, i, o: seen.append("backward"))
    model.stem.weight.register_hook(lambda grad: seen.append(tuple(grad.shape)))
    session.prune(**WISHES)
    seen.clear()
    F.cross_entropy(model(batch()[0]), batch()[1]).backward()
    assert seen == [(6, 6, 8, 8), "pre", "backward", (4, 3, 3, 3)]
    session.undo()
    seen.clear()
    model.zero_grad()
    F.cross_entropy(model(batch()[0]), batch()[1]).backward()
    assert seen == [(6, 12, 8, 8), "pre", "backward", (8, 3, 3, 3)]


def test_gradients_are_cut_with_their_parameters(model: Any, session: spa.Session) -> None:
    F.cross_entropy(model(batch()[0]), batch()[1]).backward()
    grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    kept = session.prune(**WISHES).plan.kept
    for name, parameter in model.named_parameters():
        if name not in grads:
            assert parameter.grad is None
            continue
        wanted = grads[name]
        for axis, index in kept.get(name, {}).items():
            wanted = wanted.index_select(axis, torch.from_numpy(index))
        assert torch.equal(parameter.grad, wanted)
    # Undo brings back those of parameters that lost nothing as well.
    F.cross_entropy(model(batch()[0]), batch()[1]).backward()
    session.undo()
    for name, parameter in model.named_parameters():
        if name in grads:
            assert torch.equal(parameter.grad, grads[name])
        else:
            assert parameter.grad is None


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_goes_on(name: str, model: nn.Module, session: spa.Session) -> None:
    """Its state is cut with the parameters, brought back by undo, and training goes on."""
    optimizer = OPTIMIZERS[name](model.parameters())
    train(model, optimizer)
    before = copy.deepcopy(optimizer.state_dict())
    parameters = dict(model.named_parameters())
    kept = session.prune(optimizer=optimizer, **WISHES).plan.kept
    for tensor_name, tensor in parameters.items():
        number = [id(p) for p in optimizer.param_groups[0]["params"]].index(id(tensor))
        for key, entry in before["state"].get(number, {}).items():
            wanted = entry
            if isinstance(entry, torch.Tensor) and entry.ndim:
                for axis, index in kept.get(tensor_name, {}).items():
                    wanted = wanted.index_select(axis, torch.from_numpy(index))
            now = optimizer.state[tensor][key]
            assert torch.equal(torch.as_tensor(now), torch.as_tensor(wanted)), (tensor_name, key)
    train(model, optimizer)
    session.undo()
    after = optimizer.state_dict()["state"]
    for number, entries in before["state"].items():
        for key, entry in entries.items():
            now = after[number][key]
            assert torch.equal(torch.as_tensor(now), torch.as_tensor(entry)), (number, key)
    losses = train(model, optimizer, 5)
    assert all(loss == loss for loss in losses)
    session.redo()
    train(model, optimizer)


@pytest.mark.parametrize(
    "name",
    [n for n in OPTIMIZERS if n != "sgd"],
)
def test_undo_with_state_made_after_the_prune(
    name: str, model: nn.Module, session: spa.Session
) -> None:
    """The optimizer first steps on the pruned network; then the prune is taken back."""
    optimizer = OPTIMIZERS[name](model.parameters())
    session.prune(optimizer=optimizer, **WISHES)
    train(model, optimizer)
    session.undo()
    train(model, optimizer)
    session.redo()
    train(model, optimizer)


def test_without_its_optimizer_a_new_one_works(model: nn.Module, session: spa.Session) -> None:
    train(model, torch.optim.Adam(model.parameters()))
    session.prune(**WISHES)
    first, *_, last = train(model, torch.optim.Adam(model.parameters(), 0.02), 40)
    assert last < first


def test_an_old_loss_does_not_stop_training(model: nn.Module, session: spa.Session) -> None:
    """A loss that a notebook still holds keeps the old shapes alive inside autograd."""
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    model.train()
    old = F.cross_entropy(model(batch()[0]), batch()[1])
    old.backward(retain_graph=True)
    optimizer.step()
    session.prune(optimizer=optimizer, **WISHES)
    train(model, optimizer)
    session.undo()
    train(model, optimizer)
    assert old.grad_fn is not None


def test_channels_last_stays(model: nn.Module) -> None:
    model = model.to(memory_format=torch.channels_last)
    before = state(model)
    session = spa.analyze(model, (2, 3, 8, 8))
    session.prune(**WISHES)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.is_contiguous(memory_format=torch.channels_last)
    session.undo()
    assert not differences(before, state(model))


def test_pruned_models_can_be_copied_and_stored(model: Any, session: spa.Session) -> None:
    session.prune(**WISHES)
    model.eval()
    x = batch()[0]
    twin = copy.deepcopy(model)
    assert torch.equal(twin(x), model(x))
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    loaded = torch.load(file)
    with torch.no_grad():
        for p in twin.parameters():
            p.zero_()
    twin.load_state_dict(loaded)
    assert torch.equal(twin(x), model(x))
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(x), model(x))


def test_undo_after_fine_tuning_then_redo(model: nn.Module, session: spa.Session) -> None:
    """Undo returns to before the prune, redo to the fine-tuned weights; both bit for bit."""
    before = state(model)
    session.prune(**WISHES)
    train(model, torch.optim.SGD(model.parameters(), 0.1))
    model.eval()
    tuned = state(model)
    session.undo()
    model.train()
    assert not differences(before, state(model))
    session.redo()
    model.eval()
    assert not differences(tuned, state(model))
    session.undo()
    model.train()
    assert not differences(before, state(model))


def test_several_steps_and_back(model: nn.Module, session: spa.Session) -> None:
    states = [state(model)]
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    original, kept = copy.deepcopy(model), []
    for step in range(3):
        kept.append(session.prune(ratio=0.25, scope="local", criterion="random", seed=step))
        if step == 0:
            assert error(original, kept[0].plan.kept, model, batch()[0]) < 1e-6
        train(model, optimizer, 1)
        states.append(state(model))
    for wanted in states[-2::-1]:
        session.undo()
        # What was trained between the steps belongs to the state that the next prune found.
        assert not differences(wanted, state(model))
    for wanted in states[1:]:
        session.redo()
        assert not differences(wanted, state(model))
    session.undo(2)
    assert not differences(states[1], state(model))
    session.reset()
    assert not differences(states[0], state(model))


def replace_layer(model: Any) -> None:
    model.inner = nn.Conv2d(8, 12, 3, padding=1, bias=False)


def resize_weight(model: Any) -> None:
    model.head.weight.data = torch.randn(5, 10)


def replace_parameter(model: Any) -> None:
    model.head.weight = nn.Parameter(model.head.weight.detach().clone())


def add_parameter(model: Any) -> None:
    model.extra = nn.Parameter(torch.zeros(3))


def drop_buffer(model: Any) -> None:
    model.norm.running_mean = None


def another_type(model: Any) -> None:
    model.head.double()


CHANGES = [
    replace_layer, resize_weight, replace_parameter, add_parameter, drop_buffer, another_type
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_model_changed_from_outside_is_noticed(
    change: Callable[[Any], None], model: nn.Module, session: spa.Session
) -> None:
    plan = session.plan(**WISHES)
    session.prune(plan)
    change(model)
    before = state(model)
    for action in (
        lambda: session.prune(**WISHES),
        lambda: session.prune(plan),
        session.undo,
        session.reset,
        lambda: session.plan(**WISHES),
    ):
        with pytest.raises(spa.StaleSession, match="Analyse the model again"):
            action()
        assert not differences(before, state(model))


def test_training_is_no_change_from_outside(model: nn.Module, session: spa.Session) -> None:
    train(model, torch.optim.SGD(model.parameters(), 0.1))
    model.load_state_dict(copy.deepcopy(model.state_dict()))
    assert session.prune(**WISHES).verified


def test_memory_of_the_history(model: nn.Module, session: spa.Session) -> None:
    """A step holds on to no more than the tensors that it changed, or could have."""
    size = sum(t.nbytes for t in (*model.parameters(), *model.buffers()))
    assert session.history.nbytes == 0
    session.prune(**WISHES)
    first = session.history.nbytes
    assert 0 < first <= size
    session.prune(**WISHES)
    assert session.history.nbytes - first <= size


def test_gradients_flow_through_the_pruned_model(model: nn.Module, session: spa.Session) -> None:
    session.prune(**WISHES)
    F.cross_entropy(model(batch()[0]), batch()[1]).backward()
    for name, p in model.named_parameters():
        assert (p.grad is not None) == p.requires_grad, name
        assert p.grad is None or p.grad.shape == p.shape
