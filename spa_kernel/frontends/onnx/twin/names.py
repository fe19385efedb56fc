"""Where the stored tensors of an ONNX model lie in a torch module."""

from __future__ import annotations

from torch import nn


class Part(nn.Module):
    """A part of a module that holds tensors; what computes with them is the whole."""


def owner_of(root: nn.Module, path: list[str]) -> nn.Module:
    """The module at a path, made where there is none."""
    module = root
    for name in path:
        if name not in module._modules:
            module.add_module(name, Part())
        inner = module._modules[name]
        assert inner is not None
        module = inner
    return module


def free(module: nn.Module, name: str) -> bool:
    """Whether a module can hold something new under a name."""
    return bool(name) and not hasattr(module, name)


def place(root: nn.Module, name: str) -> tuple[nn.Module, str, str]:
    """The module for a tensor of an ONNX model, its name in there, and its whole name.

    As dots say, where that can be; a part that is taken gets underscores behind it.
    """
    *path, last = name.split(".")
    module, taken = root, list[str]()
    for part in path:
        while not part or (part not in module._modules and not free(module, part)):
            part += "_"
        taken.append(part)
        module = owner_of(module, [part])
    while not free(module, last):
        last += "_"
    return module, last, ".".join([*taken, last])
