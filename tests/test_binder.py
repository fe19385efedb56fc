"""What Binder builds from is well formed and pinned."""

import json
import os
import re
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
BINDER = ROOT / "binder"
POST = BINDER / "postBuild"


def test_the_environment_is_pinned_and_has_torch_for_the_processor():
    wanted = yaml.safe_load((BINDER / "environment.yml").read_text())["dependencies"]
    assert "python=3.11" in wanted
    assert any(re.fullmatch(r"pytorch-cpu=\d+\.\d+\.\d+", item) for item in wanted)


def test_post_build_is_a_script_that_stops_at_errors():
    assert os.access(POST, os.X_OK)
    assert "set -e" in POST.read_text()
    subprocess.run(["bash", "-n", POST], check=True)


def test_constraints_without_torch_pin_everything_else(tmp_path):
    text = POST.read_text()
    (drop,) = re.findall(r"grep -vE '(.*?)' constraints.txt", text)
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    left = [line for line in lines if line and line[0] != "#" and not re.search(drop, line)]
    assert len(left) > 100
    assert not [line for line in left if line.startswith(("torch==", "nvidia"))]
    assert all(re.match(r"[\w.-]+==\S+", line) for line in left)


def test_the_workspace_opens_the_first_tutorial_beside_the_panel():
    workspace = json.loads((BINDER / "workspace.json").read_text())
    layout = workspace["data"]["layout-restorer:data"]
    (widget,) = layout["main"]["dock"]["widgets"]
    assert (ROOT / workspace["data"][widget]["data"]["path"]).is_file()
    panel = (ROOT / "labextension" / "src" / "widget.tsx").read_text()
    assert f"this.id = '{layout['right']['current']}'" in panel
    assert "workspaces import binder/workspace.json" in POST.read_text()
