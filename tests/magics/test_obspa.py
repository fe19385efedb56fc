"""Pruning without training, as a person types it."""

import pytest
import torch


def weights(net):
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ("--calibration none", "none"),
        ("", "none"),
        ("--data batches", "data"),
        ("--data batches --calibration ood", "ood"),
    ],
)
def test_prune_and_undo(analysed, options, kind):
    net = analysed.ns["net"]
    analysed("batches = [torch.randn(4, 3, 8, 8) for _ in range(3)]")
    before = weights(net)
    report = analysed(f"%spa_prune net --criterion obspa --flops 1.5 {options}")
    assert report.rf >= 1.5
    assert report.verified
    assert report.plan.settings["calibration"] == kind
    assert report.plan.settings["reconstruct"]
    after = weights(net)
    analysed("%spa_undo net")
    assert same(before, weights(net))
    analysed("%spa_redo net")
    assert same(after, weights(net))


def test_several_steps(analysed):
    report = analysed("%spa_prune net --criterion obspa --calibration none --flops 1.5 --steps 2")
    assert report.rf >= 1.5
    assert len(report.steps) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--criterion obspa --calibration noise", "invalid choice: 'noise'"),
        ("--criterion obspa --calibration data", "needs data"),
        ("--criterion obspa --calibration none --data [x]", "leave data out"),
        ("--criterion l1 --calibration none", "no weights are reconstructed"),
        ("--criterion obspa --data [x[:,:2]]", "shape (2, 2, 8, 8)"),
    ],
)
def test_refusals(analysed, line, message):
    before = weights(analysed.ns["net"])
    assert message in analysed.refuses(f"%spa_prune net --flops 1.5 {line}")
    assert same(before, weights(analysed.ns["net"]))
