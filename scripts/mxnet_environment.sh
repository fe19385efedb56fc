#!/usr/bin/env bash
# MXNet for its tests, in a folder of its own beside .venv: it asks for a NumPy that is older than
# ours, and does without (docs/mxnet.md). Another Python than .venv's may be given. Afterwards:
#
#     PYTHONPATH=.venv-mxnet .venv/bin/python -m pytest -m mxnet tests/*/test_mxnet*.py
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh
python_for "$@"
if [ ! -d .venv-mxnet/mxnet ]; then
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --target .venv-mxnet mxnet==1.9.1 graphviz==0.8.4
    # All else that it imports comes with JupyterLab.
fi
