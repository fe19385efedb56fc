# Sourced by ./try, ./check and scripts/*_environment.sh: makes .venv and installs the package with its pinned dependencies.
# A second call with the same pyproject.toml and constraints.txt does nothing.

find_python() {
    local name
    for name in python3.11 python3 python3.12 python3.13; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "spa_kernel needs Python 3.11 or newer; please install it and try again." >&2
    return 1
}

make_venv() {
    local python
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        # Debian keeps the module for virtual environments in a package of its own.
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            apt-get update -qq
            apt-get install -qq -y python3-venv >/dev/null
        else
            echo "Python's venv module is missing; on Debian: sudo apt-get install python3-venv" >&2
            return 1
        fi
    fi
    "$python" -m venv .venv
}

# python_for PYTHON?: sets `python` to the one that is given, or to that of .venv, made for tests.
python_for() {
    python=${1:-.venv/bin/python}
    [ $# != 0 ] || environment test dev
}

# environment EXTRAS...: for example `environment test dev`
environment() {
    local extras stamp wanted
    extras=$(IFS=,; echo "$*")
    stamp=.venv/spa-installed-$(echo "$extras" | tr , -)
    wanted=$(cat pyproject.toml constraints.txt | cksum)
    [ -x .venv/bin/python ] || make_venv
    if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
        echo "Installing into .venv (some minutes the first time) ..." >&2
        # torch first and pinned, so that nothing else chooses another build of it
        .venv/bin/python -m pip install --quiet --disable-pip-version-check \
            -c constraints.txt "$(grep '^torch==' constraints.txt)"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check \
            -c constraints.txt -e ".[$extras]"
        echo "$wanted" >"$stamp"
    fi
    # The side panel of JupyterLab, built anew where its sources have changed.
    .venv/bin/python scripts/labextension.py ||
        echo "The side panel of JupyterLab could not be built; all else works without it." >&2
}
