"""The scripts beside the package import names that exist."""

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("recipes", "benchmarks", "scripts")
SCRIPTS = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
PACKAGES = ("latentaudio", "procedural_audio")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_names_that_a_script_imports_from_the_packages_exist(script):
    missing = []
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if (
            not isinstance(node, ast.ImportFrom)
            or (node.module or "").split(".")[0] not in PACKAGES
        ):
            continue
        module = import_module(node.module)
        for alias in node.names:
            is_there = hasattr(module, alias.name) or find_spec(f"{node.module}.{alias.name}")
            if not is_there:
                missing.append(f"{node.module}.{alias.name}")
    assert not missing
