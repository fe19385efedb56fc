"""Random networks, and what must be true of every one of them."""

import sys
from pathlib import Path

# What tests share is found by its own name, as pytest finds it.
if (TESTS := str(Path(__file__).resolve().parents[1])) not in sys.path:
    sys.path.insert(0, TESTS)
