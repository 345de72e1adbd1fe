"""The notebooks run, and each agrees with the script it is paired with. ``python tests/test_notebooks.py`` writes them again."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
SCRIPTS = sorted(FOLDER.glob("*.py"))
SECONDS = 240  # for one cell, with an empty kernel cache on a slow machine
KILOBYTES = 64


def read_script(path: Path) -> Any:
    """The cells of a script in percent format."""
    jupytext = pytest.importorskip("jupytext")
    return jupytext.read(path)


def execute(path: Path) -> Any:
    """The script's notebook with outputs, from a kernel in an empty environment of its own."""
    client = pytest.importorskip("nbclient")
    notebook = read_script(path)
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([str(path.parents[1] / "src"), environment.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the notebook machinery; the cells' own go to their outputs
        runner = client.NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}})
        runner.execute(env=environment)
    return tidy(notebook)


def tidy(notebook: Any) -> Any:
    """Without what changes from run to run or machine to machine."""
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
        cell.metadata.pop("execution", None)
        merged: list[Any] = []  # how printed text is cut into messages is chance
        for output in cell.get("outputs", []):
            if merged and output["output_type"] == "stream" and merged[-1].get("name") == output["name"]:
                merged[-1]["text"] += output["text"]
            else:
                merged.append(output)
        if cell.cell_type == "code":
            cell["outputs"] = merged
    notebook.metadata = {
        "jupytext": {"formats": "ipynb,py:percent"},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    notebook["nbformat"], notebook["nbformat_minor"] = 4, 5
    return notebook


def text_of(cell: Any) -> str:
    """What a cell printed and returned."""
    parts = []
    for output in cell.get("outputs", []):
        parts.append(output["text"] if output["output_type"] == "stream" else output.get("data", {}).get("text/plain", ""))
    return "".join(parts)


def committed(path: Path) -> Any:
    """The notebook in the repository."""
    nbformat = pytest.importorskip("nbformat")
    return nbformat.read(path.with_suffix(".ipynb"), as_version=4)


@pytest.fixture(params=SCRIPTS, ids=[p.stem for p in SCRIPTS])
def script(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_there_are_notebooks() -> None:
    assert SCRIPTS
    assert {p.stem for p in SCRIPTS} == {p.stem for p in FOLDER.glob("*.ipynb")}


def test_the_pair_agrees(script: Path) -> None:
    ours = [(c.cell_type, c.source) for c in read_script(script).cells]
    theirs = [(c.cell_type, c.source) for c in committed(script).cells]
    assert theirs == ours, "run python tests/test_notebooks.py"


def test_the_committed_notebook_is_executed_small_and_clean(script: Path) -> None:
    notebook = committed(script)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1))
    path = script.with_suffix(".ipynb")
    assert path.stat().st_size < 1024 * KILOBYTES
    text = path.read_text(encoding="utf-8")
    home = str(Path.home())
    for trace in ("/tmp/", "site-packages", "ipykernel_", str(FOLDER.parent), *([home] if len(home) > 1 else [])):
        assert trace not in text, f"the notebook shows a path of this machine: {trace}"
    errors = [o for c in code for o in c.outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
    assert not errors


def test_it_runs_and_prints_as_committed(script: Path) -> None:
    ran = execute(script)
    for cell, kept in zip(ran.cells, committed(script).cells, strict=True):
        assert not [o for o in cell.get("outputs", []) if o.get("name") == "stderr"], cell.source
        # numbers may differ in the last places on another processor; what kind of thing is printed may not
        assert bool(text_of(cell)) == bool(text_of(kept)), cell.source
        assert len(text_of(cell).splitlines()) == len(text_of(kept).splitlines()), cell.source


if __name__ == "__main__":
    import nbformat

    for source in SCRIPTS:
        nbformat.write(execute(source), source.with_suffix(".ipynb"))
        sys.stdout.write(f"wrote {source.with_suffix('.ipynb').name}\n")
