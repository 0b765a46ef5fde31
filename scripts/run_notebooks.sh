#!/usr/bin/env bash
# Executes every notebook from a clean environment: a fresh virtual environment with what notebooks/requirements.txt pins, and nothing else.
# Usage: scripts/run_notebooks.sh [OUT]
# With OUT, the executed notebooks are kept there; the ones in notebooks/ stay as they are, without outputs. Needs Python 3.10 to 3.13, and pip's index.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
out=${1:-$scratch/out}
mkdir -p "$out"
out=$(cd "$out" && pwd)

suits='import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))'
python=
for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10}; do
    if "$name" -c "$suits" 2>/dev/null; then
        python=$name
        break
    fi
done
if [[ -z $python ]]; then
    echo "no Python from 3.10 to 3.13 here; name one with PYTHON=..." >&2
    exit 1
fi

"$python" -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: -r "$root/notebooks/requirements.txt"
# Neither the user's settings nor kernels from elsewhere: what runs is what is pinned.
export JUPYTER_CONFIG_DIR=$scratch/jupyter JUPYTER_DATA_DIR=$scratch/jupyter IPYTHONDIR=$scratch/ipython MPLCONFIGDIR=$scratch/matplotlib
export PYTHONDONTWRITEBYTECODE=1 PYTHONNOUSERSITE=1
"$scratch/venv/bin/python" - "$root/notebooks" "$out" <<'END'
import pathlib
import sys
import time

import nbformat
from nbclient import NotebookClient

source, out = map(pathlib.Path, sys.argv[1:])
for path in sorted(source.glob("*.ipynb")):
    start = time.monotonic()
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(source)}}).execute()
    errors = [o for cell in notebook.cells for o in cell.get("outputs", []) if o.output_type == "stream" and o.name == "stderr"]
    for error in errors:
        print(f"{path.name}: {error.text.strip()}", file=sys.stderr)
    nbformat.write(notebook, out / path.name)
    print(f"{path.name}: {sum(c.cell_type == 'code' for c in notebook.cells)} cells in {time.monotonic() - start:.1f} s")
END
