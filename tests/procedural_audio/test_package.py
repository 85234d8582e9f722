"""The package stands alone: it imports nothing of latentaudio and no neural network code."""

import ast
import subprocess
import sys
from pathlib import Path

import procedural_audio

PACKAGE = Path(procedural_audio.__file__).parent


def test_no_file_imports_latentaudio():
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            assert not [name for name in names if name.split(".")[0] == "latentaudio"], path


def test_rendering_loads_no_latentaudio_and_no_torch():
    code = (
        "import sys, procedural_audio.corpus\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'latentaudio', 'torch'}, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_errors_can_be_caught_as_value_errors():
    from procedural_audio.errors import OutputError, RenderError

    assert issubclass(OutputError, RenderError) and issubclass(RenderError, ValueError)
