"""What the tutorials share: pictures of digits, two small networks, training and accuracy."""

from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

torch.set_num_threads(1)  # such small networks are not worth sharing out


def pictures():
    """1,297 pictures to train on and 500 others to test on: (x_train, y_train, x_test, y_test)."""
    digits = load_digits()
    order = torch.randperm(len(digits.target), generator=torch.Generator().manual_seed(0))
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1)[order] / 16
    y = torch.tensor(digits.target)[order]
    return x[500:], y[500:], x[:500], y[:500]


x_train, y_train, x_test, y_test = pictures()


class Block(nn.Module):
    """A residual block: what it computes is added to its input."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.shortcut = nn.Identity()
        if before != after:
            self.shortcut = nn.Conv2d(before, after, 1, stride)

    def forward(self, x):
        out = torch.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return torch.relu(out + self.shortcut(x))


class DigitNet(nn.Module):
    """The residual network of the first tutorial."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 24, 3, padding=1)
        self.blocks = nn.Sequential(Block(24, 24, 1), Block(24, 48, 2), Block(48, 48, 1))
        self.head = nn.Linear(48, 10)

    def forward(self, x):
        return self.head(self.blocks(torch.relu(self.stem(x))).mean((2, 3)))


class Attention(nn.Module):
    """Self-attention of several heads."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # batch, head, token, channel

    def forward(self, x):
        q, k, v = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Attention, then two linear layers; both are added to the residual stream."""

    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class DigitTransformer(nn.Module):
    """A vision transformer: 16 patches of 2 × 2 pixels are its tokens."""

    def __init__(self, width=32, heads=4, depth=3):
        super().__init__()
        self.patches = nn.Conv2d(1, width, 2, stride=2)
        self.positions = nn.Parameter(torch.randn(1, 16, width) / 5)
        self.layers = nn.Sequential(*(Layer(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.norm(self.layers(tokens)).mean(1))


def trained(kind):
    """A DigitNet or DigitTransformer with the weights that are kept in notebooks/data."""
    net = kind()
    file = Path(__file__).parents[1] / "data" / f"{kind.__name__}.pt"
    net.load_state_dict(torch.load(file, weights_only=True))
    return net.eval()


def batches(size=8, count=32):
    """Small batches (pictures, labels) to train on, for criteria that need data."""
    n = size * count
    return list(zip(x_train[:n].split(size), y_train[:n].split(size), strict=True))


def train(net, epochs, lr=1e-3, optimizer=None, seed=0):
    """Train in place; the order of the pictures depends on the seed alone."""
    optimizer = optimizer or torch.optim.AdamW(net.parameters(), lr=lr)
    order = torch.Generator().manual_seed(seed)
    net.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(x_train), generator=order).split(64):
            loss = F.cross_entropy(net(x_train[batch]), y_train[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net.eval()


@torch.inference_mode()
def accuracy(net):
    """Percent of the 500 test pictures that are recognised."""
    return 100 * (net(x_test).argmax(1) == y_test).float().mean().item()
