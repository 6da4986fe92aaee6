"""The house: imports point downwards, heavy libraries stay behind one file, files stay small."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

import midclass

SOURCE = Path(midclass.__file__).parent
DICOM_OUT = [
    f"evaluation/dicom/{part}.py" for part in ("assessment", "capture", "report", "segmentation")
]
WRAPPED = {
    "pydicom": [
        *(f"images/formats/dicom_{part}.py" for part in ("attributes", "file", "frames", "pixels")),
        "images/formats/holding.py",
        "cli/dicomweb/server.py",
        *DICOM_OUT,
    ],
    "gdcm": ["images/formats/jpeg_extended.py"],
    "nibabel": ["images/formats/nifti.py", "images/formats/holding.py"],
    "highdicom": ["images/formats/seg.py", "detectors/dicom_out.py", *DICOM_OUT],
    "pandas": ["evaluation/table.py"],
    "pyarrow": ["evaluation/parquet.py"],
    "onnxruntime": ["detectors/export.py"],
    "onnxscript": ["detectors/export.py"],
    "dicomweb_client": ["cli/dicomweb/server.py"],
    "requests": ["cli/dicomweb/server.py"],
    "urllib3": ["cli/dicomweb/server.py"],
    "ray": ["study/cluster.py"],
    "fastapi": ["cli/service/web.py"],
    "starlette": ["cli/service/web.py"],
    "uvicorn": ["cli/commands/serve.py"],
    "matplotlib": [
        "evaluation/page/chart.py",
        "evaluation/panel.py",
        "evaluation/plots.py",
        "preview/page.py",
        "study/plots.py",
    ],
    "jinja2": ["evaluation/page/write.py", "evaluation/markdown.py"],
    "monai": ["training/networks.py", "training/architectures.py", "images/anatomy/learned.py"],
}
FILES = sorted(SOURCE.rglob("*.py"))
ROOMS = 10


def name_of(file: Path) -> str:
    return file.relative_to(SOURCE).as_posix()


def imports(file: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return found


def lines(file: Path) -> int:
    return len(file.read_text(encoding="utf-8").splitlines())


def test_imports_point_downwards() -> None:
    config = SOURCE.parents[1] / "pyproject.toml"
    assert lint_imports(config_filename=str(config), no_cache=True) == EXIT_STATUS_SUCCESS


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_wrapped_libraries_are_imported_by_their_wrapper_only(file: Path) -> None:
    for imported in imports(file):
        wrappers = WRAPPED.get(imported.split(".")[0])
        if wrappers is not None:
            assert name_of(file) in wrappers


def test_no_baseline_imports_another() -> None:
    for file in (SOURCE / "detectors" / "baselines").glob("[!_]*.py"):
        prefix = "midclass.detectors.baselines."
        others = {i for i in imports(file) if i.startswith(prefix)}
        assert all(other.removeprefix(prefix).startswith("_") for other in others)


def test_the_house_has_ten_rooms_and_a_small_hall() -> None:
    rooms = [path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()]
    assert len(rooms) == ROOMS, sorted(rooms)
    assert len(list(SOURCE.glob("*.py"))) <= 7


def test_files_are_no_longer_than_a_reader_can_hold() -> None:
    assert max(map(lines, FILES)) <= 300, max(FILES, key=lines)
    assert statistics.median(map(lines, FILES)) <= 130


def test_no_two_classes_share_a_name() -> None:
    names = Counter(
        node.name
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, times in names.items() if times > 1] == []


def test_every_public_name_is_found_where_the_door_says() -> None:
    for name in midclass.__all__:
        assert getattr(midclass, name) is not None
        assert name in dir(midclass)


def test_the_package_needs_no_torch_to_be_imported() -> None:
    code = "import midclass, midclass.cli.app, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
