"""Imports point downwards only, and heavy libraries stay behind the file that wraps them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import midclass

SOURCE = Path(midclass.__file__).parent
# From the top to the bottom; a module imports its own layer or a lower one.
LAYERS = [
    ["__main__", "cli"],
    ["cli_knowledge", "cli_detector"],
    ["cli_options"],
    ["demo"],
    ["commands", "commands_audit", "commands_nuisance", "study", "study_report"],
    ["study_results", "study_engines"],
    ["study_file", "study_recipe", "study_cell", "study_log"],
    ["checking"],
    ["fitting", "sheet", "console"],
    ["plots", "plots_sheet", "plots_study"],
    ["evaluation", "testing", "audit", "advice", "robustness"],
    ["detectors", "feature_space", "reconstruction", "self_supervised"],
    ["training", "scoring", "calibration", "features", "learning"],
    ["networks", "autoencoders", "pretrained"],
    ["middle", "trial"],
    ["images.prepare", "images.prepared", "images.sample", "images.cache"],
    ["recipe", "recipe_file", "recipe_operator", "resolve"],
    ["acquisition"],
    ["knowledge"],
    ["probe", "coarse"],
    ["comparison"],
    ["types", "images", "results"],
    ["metrics", "budget", "chance"],
    ["writing"],
    ["errors", "__init__"],
]
WRAPPED = {
    "pydicom": ["images/dicom.py"],
    "nibabel": ["images/nifti.py"],
    "matplotlib": ["plots.py", "plots_sheet.py", "plots_study.py"],
    "monai": ["networks.py", "pretrained.py"],
}
# The package's own __init__ names everything, late.
FILES = sorted(set(SOURCE.rglob("*.py")) - {SOURCE / "__init__.py"})


def layer(module: str) -> int:
    """Number of the layer, 0 at the top, of ``a.b`` by its longest listed prefix."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        for number, names in enumerate(LAYERS):
            if prefix in names:
                return number
    raise AssertionError(f"{module} is in no layer: add it to LAYERS")


def name_of(file: Path) -> str:
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def imports(file: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            is_package = (SOURCE.parent / node.module.replace(".", "/")).is_dir()
            found += submodules if is_package else [node.module]
    return found


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_imports_point_downwards(file: Path) -> None:
    own = layer(name_of(file))
    for imported in imports(file):
        if imported.startswith("midclass.") and imported != "midclass.__version__":
            below = layer(imported.removeprefix("midclass."))
            assert below >= own, f"{name_of(file)} imports {imported} from a higher layer"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_wrapped_libraries_are_imported_by_their_wrapper_only(file: Path) -> None:
    for imported in imports(file):
        wrappers = WRAPPED.get(imported.split(".")[0])
        if wrappers is not None:
            assert file.relative_to(SOURCE).as_posix() in wrappers


def test_no_detector_imports_another() -> None:
    for file in (SOURCE / "detectors").glob("*.py"):
        others = {i for i in imports(file) if i.startswith("midclass.detectors.")}
        assert others <= {"midclass.detectors.base"}


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_no_file_is_longer_than_a_reader_can_hold(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 300


def test_every_public_name_is_found() -> None:
    for name in midclass.__all__:
        assert getattr(midclass, name) is not None


def test_the_package_needs_no_torch_to_be_imported() -> None:
    code = "import midclass, midclass.cli, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
