"""How the kernel of an ONNX convolution is laid over the picture."""

from __future__ import annotations

from spa_kernel.frontends.onnx.call import Call
from spa_kernel.products.patches import Geometry


def geometry(call: Call) -> Geometry:
    """Of a Conv or ConvTranspose, with the padding that it works out for itself written out."""
    space, kernel = call.shape(0)[2:], call.shape(1)[2:]
    out = tuple(call.attr("output_shape", call.out.shape)[-len(kernel) :])
    ones = (1,) * len(kernel)
    stride, dilation = (tuple(call.attr(name, ones)) for name in ("strides", "dilations"))
    extra = tuple(call.attr("output_padding", (0,) * len(kernel)))
    transposed, auto = call.proto.op_type == "ConvTranspose", call.attr("auto_pad", "NOTSET")
    given = tuple(call.attr("pads", (0,) * 2 * len(kernel)))
    pads = tuple(zip(given[: len(kernel)], given[len(kernel) :], strict=True))
    if auto == "VALID":
        pads = ((0, 0),) * len(kernel)
    if auto.startswith("SAME") or call.attr("output_shape"):
        pads = ()
        for n, k, m, s, d, e in zip(space, kernel, out, stride, dilation, extra, strict=True):
            reach = d * (k - 1) + 1
            total = (n - 1) * s + e + reach - m if transposed else (m - 1) * s + reach - n
            total = max(total, 0)
            less, more = total // 2, total - total // 2
            # SAME_UPPER pads more at the end; a given size of the output is padded as SAME_LOWER.
            pads += ((less, more) if auto == "SAME_UPPER" else (more, less),)
    return Geometry(stride, pads, dilation, transposed, extra, int(call.attr("group", 1)))
