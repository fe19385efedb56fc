"""The side panel of JupyterLab is made from the sources beside it."""

import json
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def labextension(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import labextension

    return labextension


def test_one_version():
    package = json.loads((ROOT / "labextension" / "package.json").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert package["version"] == project["version"]


def test_the_bundle_is_fresh(labextension):
    assert labextension.BUNDLE.is_dir(), "no side panel: python scripts/labextension.py"
    assert labextension.is_fresh(), "the bundle is stale: python scripts/labextension.py"


def test_every_change_of_a_source_is_noticed(labextension, monkeypatch, tmp_path):
    sources, bundle = tmp_path / "sources", tmp_path / "bundle"
    files = ["src/a.ts", "src/deep/b.tsx", "style/c.css", "schema/d.json"]
    files += ["package.json", "tsconfig.json", "yarn.lock"]
    for name in [*files, "src/__tests__/a.spec.ts"]:
        (sources / name).parent.mkdir(parents=True, exist_ok=True)
        (sources / name).write_text(name)
    monkeypatch.setattr(labextension, "SOURCES", sources)
    monkeypatch.setattr(labextension, "BUNDLE", bundle)
    assert not labextension.is_fresh()
    bundle.mkdir()
    (bundle / "sources.json").write_text(json.dumps(labextension.sums()))
    assert labextension.is_fresh()
    (sources / "src/__tests__/a.spec.ts").write_text("a test is no part of the bundle")
    assert labextension.is_fresh()
    for name in files:
        before = (sources / name).read_text()
        (sources / name).write_text("other")
        assert not labextension.is_fresh(), name
        (sources / name).write_text(before)
    (sources / "src/new.ts").write_text("new")
    assert not labextension.is_fresh()
