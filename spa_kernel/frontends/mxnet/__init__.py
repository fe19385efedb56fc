"""Gluon blocks of MXNet: exported to ONNX by MXNet, pruned there, and cut in place alike.

``mx`` is MXNet 1.9.1, which by itself cannot be imported beside today's NumPy::

    from spa_kernel.frontends.mxnet import mx
"""

from spa_kernel.frontends.mxnet.imported import imported

mx = imported()
