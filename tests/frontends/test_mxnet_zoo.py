"""Networks of MXNet's model zoo, and the same network with the same weights in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
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


def carried_over(twin: torch.nn.Module, net: mx.gluon.Block) -> dict[str, str]:
    """Give the Gluon network the weights of the torch one; torch's names by MXNet's."""
    state = {n: t for n, t in twin.state_dict().items() if not n.endswith("num_batches_tracked")}
    parameters = net.collect_params()
    for parameter, tensor in zip(parameters.values(), state.values(), strict=True):
        parameter.set_data(mx.nd.array(tensor.numpy()))
    return dict(zip(parameters, state, strict=True))


def test_a_resnet_has_the_same_groups_scores_and_outputs_as_in_torch():
    twin = torchvision.models.resnet18(num_classes=10).eval()
    net, inputs = filled(vision.resnet18_v1(classes=10), [(2, 3, 32, 32)])
    for module in twin.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                torch.nn.init.uniform_(tensor.data, 0.5, 1.5)
    names = carried_over(twin, net)
    images = torch.from_numpy(inputs[0].asnumpy())
    a, b = spa.analyze(twin, images), spa.analyze(net, inputs)
    assert a.cost == b.cost

    def prunable(session, rename):
        return {
            frozenset((rename.get(name, name), axis) for name, axis in g.members): g
            for g in session.groups
            if g.prunable
        }

    theirs, ours = prunable(a, {}), prunable(b, names)
    assert theirs.keys() == ours.keys()
    for criterion in "l1", "l2":
        left, right = a.importance(criterion), b.importance(criterion)
        for key, group in theirs.items():
            np.testing.assert_allclose(right[ours[key].id], left[group.id], rtol=1e-4)
    a.prune(criterion="l2", flops=2)
    b.prune(criterion="l2", flops=2)
    expected = twin(images).detach().numpy()
    assert np.abs(outputs(net, inputs)[0] - expected).max() <= 1e-4 * expected.std()
