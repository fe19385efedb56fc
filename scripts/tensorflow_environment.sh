#!/usr/bin/env bash
# TensorFlow for its tests, in a folder of its own beside .venv: Keras is slower on torch too where
# it finds TensorFlow. Another Python than .venv's may be given. .ci/run has what to run with it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh
python_for "$@"
# All else that they import is in .venv.
wanted=(tensorflow-cpu==2.21.0 tf2onnx==1.17.0
    astunparse==1.6.3 gast==0.7.0 termcolor==3.3.0 wrapt==2.5.2)
folder=.venv-tensorflow
if [ "$(cat $folder/wanted 2>/dev/null)" != "${wanted[*]}" ]; then
    rm -rf $folder
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps \
        --target $folder "${wanted[@]}"
    # tf2onnx leaves its own tests at the top, where ours could be taken for them.
    rm -r $folder/{examples,tests,tools}
    echo "${wanted[*]}" >$folder/wanted
fi
