"""The notebooks: they run, they draw, and they hold neither outputs nor formulas. And the tutorial's first chart."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from ofi_cvd.settings import Settings

FOLDER = Path(__file__).parents[2] / "notebooks"
TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
NAMES = ("01_first_look", "02_quality", "03_price_impact", "04_signals")
CHARTS = {"01_first_look": 1, "02_quality": 5, "03_price_impact": 3, "04_signals": 6}
PLOTLY = "application/vnd.plotly.v1+json"


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code(name: str) -> list[str]:
    return [cell.source for cell in read(name).cells if cell.cell_type == "code"]


def run(name: str, settings: Settings, scratch: Path) -> nbformat.NotebookNode:
    """Execute a notebook in a kernel of its own, with every folder of Jupyter below `scratch`."""
    notebook = read(name)
    own = {
        folder: str(scratch / folder.lower()) for folder in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR")
    }
    dataset = {
        "OFI_DATA_DIR": settings.data_dir,
        "OFI_SPOOL_DIR": settings.spool_dir,
        "OFI_STATE_DIR": settings.state_dir,
        "OFI_ARTIFACTS_DIR": settings.artifacts_dir,
    }
    environment = os.environ | own | {key: str(path) for key, path in dataset.items()}
    client = NotebookClient(notebook, kernel_name="python3", timeout=120, resources={"metadata": {"path": str(FOLDER)}})
    client.execute(env=environment)
    return notebook


def charts(notebook: nbformat.NotebookNode) -> list[dict[str, object]]:
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return [output.data[PLOTLY] for output in outputs if PLOTLY in output.get("data", {})]


def test_all_notebooks_are_here() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_stripped(name: str) -> None:
    """What is committed holds no result, so a change of a notebook is a change of its text."""
    notebook = read(name)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in cells] == [[]] * len(cells)
    assert [cell.execution_count for cell in cells] == [None] * len(cells)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert {key for cell in notebook.cells for key in cell.metadata} <= {"tags"}


@pytest.mark.parametrize("name", NAMES)
def test_no_formula_is_defined(name: str) -> None:
    """Notebooks ask and draw; what computes a number is in the package, where it is tested."""
    nodes = [node for source in code(name) for node in ast.walk(ast.parse(source))]
    forbidden = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
    assert not [node for node in nodes if isinstance(node, forbidden)]


@pytest.mark.parametrize("name", NAMES)
def test_it_starts_with_one_line(name: str) -> None:
    """After the cell of parameters: `import ofi_cvd`, then the dataset is open."""
    parameters, opening = code(name)[:2]
    assert "../data/ofi_cvd" in parameters
    assert opening.splitlines()[0] == "import ofi_cvd"
    assert opening.splitlines()[-1].startswith("dataset = ofi_cvd.open_dataset(data_dir")


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_on_simulated_data(name: str, simulated: Settings, tmp_path: Path) -> None:
    """Every cell runs, and every chart has something in it."""
    drawn = charts(run(name, simulated, tmp_path))
    assert len(drawn) == CHARTS[name]
    assert all(chart["data"] for chart in drawn)
    if name == "01_first_look":
        names = {trace["name"] for trace in drawn[0]["data"]}
        assert {"price", "CVD", "OFI, buying", "OFI, selling", "pivot_high", "pivot_low"} <= names
        assert {"active, calm", "active, volatile", "quiet, calm", "quiet, volatile"} & names
        assert drawn[0]["layout"]["shapes"]


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_on_real_data(name: str, real: Settings, tmp_path: Path) -> None:
    """Eight minutes across midnight: labels are still warming up, and the notebooks bear it."""
    drawn = charts(run(name, real, tmp_path))
    assert drawn
    assert any(chart["data"] for chart in drawn)


def test_the_first_chart(simulated: Settings) -> None:
    """From the folder that holds `data/`, the block runs as it stands and leaves a page with the scenes in it."""
    (block,) = re.findall(r"^```python\n(.*?)^```", TUTORIAL.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    root = simulated.data_dir.parents[1]
    subprocess.run([sys.executable, "-c", block], cwd=root, check=True)
    page = (root / "first_chart.html").read_text("utf-8")
    assert all(f'"name":"{scene}"' in page for scene in ("A_H", "A_L"))
    assert "<script src=" not in page
