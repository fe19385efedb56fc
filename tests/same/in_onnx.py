"""The described networks as ONNX models, written by torch's exporter."""

from __future__ import annotations

import in_torch
import onnx
import onnxruntime
import torch
from described import Network, Weights

CHANNELS_FIRST = True


def net(describe: Network, weights: Weights, shape: tuple[int, ...]) -> onnx.ModelProto:
    module = in_torch.net(describe, weights, shape).eval()
    # Names and layouts of weights stay as they are where nothing is optimised.
    program = torch.onnx.export(
        module,
        (torch.zeros(2, *shape),),
        dynamo=True,
        optimize=False,
        verbose=False,
        dynamic_shapes=({0: torch.export.Dim("n")},),
    )
    return program.model_proto


def batch(x):
    return x


def outputs(model, x):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {session.get_inputs()[0].name: x})[0]
