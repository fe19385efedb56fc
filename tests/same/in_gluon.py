"""The described networks of Gluon's layers, of MXNet."""

from __future__ import annotations

from described import EPSILON, MOMENTUM, RATE, Network, Weights
from mxnet_networks import mx, nn

CHANNELS_FIRST = True


def net(describe: Network, weights: Weights, shape: tuple[int, ...]) -> nn.HybridBlock:
    return Net(describe, weights, shape)


def batch(x):
    return mx.nd.array(x)


def outputs(model, x):
    return model(batch(x)).asnumpy()


def train(model, x, labels):
    """One epoch."""
    trainer = mx.gluon.Trainer(model.collect_params(), "adam", {"learning_rate": RATE})
    wrong = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    data = mx.gluon.data.ArrayDataset(x, labels)
    for images, targets in mx.gluon.data.DataLoader(data, 32, shuffle=True):
        with mx.autograd.record():
            loss = wrong(model(images), targets)
        loss.backward()
        trainer.step(len(images))


class Net(nn.HybridBlock):
    """Layers are made in a first forward: there the shapes are known, later only symbols."""

    def __init__(self, describe: Network, weights: Weights, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.describe, self.weights = describe, weights
        self(mx.nd.zeros((2, *shape)))
        self.hybridize()

    def hybrid_forward(self, F, x):
        self.F = F
        return self.describe(self, x)

    def layer(self, name, x, make):
        """Of the shape of what comes in, a layer and its content are made."""
        if not hasattr(self, name):
            made, arrays = make(x.shape)
            made.initialize()
            made(x)
            for parameter, array in zip(made.collect_params().values(), arrays, strict=True):
                parameter.set_data(mx.nd.array(array))
            setattr(self, name, made)
        return getattr(self, name)(x)

    def conv(self, x, name, out, kernel=3, stride=1, groups=1, bias=False, padded=True):
        def make(shape):
            pad = kernel // 2 if padded else 0
            weight = self.weights.kernel(
                f"{name}.weight", (out, shape[1] // groups, kernel, kernel)
            )
            biases = [self.weights.get(f"{name}.bias", (out,), 0, 0.1)] if bias else []
            settings = {"groups": groups, "use_bias": bias, "prefix": f"{name}."}
            return nn.Conv2D(out, kernel, stride, pad, **settings), [weight, *biases]

        return self.layer(name, x, make)

    def norm(self, x, name):
        def make(shape):
            layer = nn.BatchNorm(momentum=MOMENTUM, epsilon=EPSILON, prefix=f"{name}.")
            return layer, self.weights.of_norm(name, shape[1])

        return self.layer(name, x, make)

    def layer_norm(self, x, name):
        def make(shape):
            layer = nn.LayerNorm(epsilon=EPSILON, prefix=f"{name}.")
            return layer, self.weights.of_norm(name, shape[-1])[:2]

        return self.layer(name, x, make)

    def linear(self, x, name, out=None):
        """As wide as `out`, or as the input if none is given."""

        def make(shape):
            width = out or shape[-1]
            weight = self.weights.kernel(f"{name}.weight", (width, shape[-1]))
            bias = self.weights.get(f"{name}.bias", (width,), 0, 0.1)
            return nn.Dense(width, flatten=False, prefix=f"{name}."), [weight, bias]

        return self.layer(name, x, make)

    def attention(self, x, name, heads, depth):
        q, k, v = (
            self.split(self.linear(x, f"{name}_{part}", heads * depth), heads) for part in "qkv"
        )
        scores = self.F.linalg.gemm2(q * depth**-0.5, k, transpose_b=True)
        y = self.F.linalg.gemm2(self.F.softmax(scores), v)
        y = self.F.reshape(self.F.transpose(y, axes=(0, 2, 1, 3)), shape=(0, 0, -1))
        return self.linear(y, f"{name}_out")

    def split(self, x, heads):
        x = self.F.reshape(x, shape=(0, 0, heads, -1))
        return self.F.transpose(x, axes=(0, 2, 1, 3))

    def tokens(self, x):
        return self.F.transpose(self.F.reshape(x, shape=(0, 0, -1)), axes=(0, 2, 1))

    def mean(self, x):
        def make(shape):
            axes = (2, 3) if len(shape) == 4 else 1
            return nn.HybridLambda(lambda F, x: F.mean(x, axis=axes)), []

        return self.layer("pooled", x, make)

    def max_pool(self, x):
        return self.F.Pooling(x, (3, 3), "max", stride=(2, 2), pad=(1, 1))

    def halved(self, x):
        return self.F.Pooling(x, (2, 2), "avg", stride=(2, 2))

    def concat(self, parts):
        return self.F.concat(*parts, dim=1)

    def add(self, a, b):
        return a + b

    def relu(self, x):
        return self.F.relu(x)

    def relu6(self, x):
        return self.F.clip(x, 0, 6)

    def gelu(self, x):
        return self.F.LeakyReLU(x, act_type="gelu")
