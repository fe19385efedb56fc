"""Benchmarks in a browser borrow the fixtures of the browser tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "ui"), str(Path(__file__).parent)]


def run(file: str) -> int:
    """Run the tests of a file, which start a server and a browser, and print."""
    spec = importlib.util.spec_from_file_location("lab_fixtures", TESTS / "ui" / "conftest.py")
    assert spec is not None and spec.loader is not None
    fixtures = sys.modules["lab_fixtures"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fixtures)
    return int(pytest.main([file, "-q", "-s"], plugins=[fixtures]))
