"""Train the networks that the tutorials start from; the same weights come out every time.

Usage: python scripts/make_tutorial_weights.py

Writes notebooks/data/DigitNet.pt and DigitTransformer.pt (1,297 pictures of scikit-learn's digits;
about a minute on one core).
"""

import sys
from pathlib import Path

import torch

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
sys.path.insert(0, str(NOTEBOOKS / "tutorials"))
import digits  # noqa: E402

EPOCHS = {digits.DigitNet: 12, digits.DigitTransformer: 60}


def main() -> None:
    for kind, epochs in EPOCHS.items():
        torch.manual_seed(0)
        net = kind()
        # A large step, then smaller ones.
        digits.train(net, epochs, lr=2e-3)
        digits.train(net, epochs // 3, lr=2e-4, seed=1)
        file = NOTEBOOKS / "data" / f"{kind.__name__}.pt"
        file.parent.mkdir(exist_ok=True)
        torch.save(net.state_dict(), file)
        size = file.stat().st_size / 1000
        print(f"{file.name}: {digits.accuracy(net):.1f} % of the test pictures, {size:.0f} kB")


if __name__ == "__main__":
    main()
