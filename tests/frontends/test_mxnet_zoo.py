"""Networks of MXNet's model zoo."""

from __future__ import annotations

import pytest
from mxnet_networks import contents, filled, mx, outputs, same

import spa_kernel as spa

pytestmark = pytest.mark.mxnet

vision = mx.gluon.model_zoo.vision
ZOO = {
    "resnet18_v1": 32,
    "resnet18_v2": 32,
    "mobilenetv2_0.25": 32,
    "squeezenet1.1": 224,
    "densenet121": 224,
    "vgg11_bn": 32,
}
"""By name the size of its inputs: the last pooling of some wants it large."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_networks_of_the_zoo_are_pruned_exactly(name):
    net = vision.get_model(name, classes=10)
    net, inputs = filled(net, [(1, 3, ZOO[name], ZOO[name])])
    before, weights = outputs(net, inputs), contents(net)
    session = spa.analyze(net, inputs)
    report = session.prune(criterion="l2", flops=2)
    assert report.rf >= 2 and report.verification.ok and not report.notes
    session.undo()
    assert same(contents(net), weights) and same(outputs(net, inputs), before)
