"""The curl lines of the guide to serving run, against a server over the tiny model."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from latentaudio.serve.jobs import JobManager, JobSettings
from latentaudio.serve.limits import Limits
from latentaudio.serve.model_pool import ModelPool, PoolSettings
from latentaudio.serve.store import Store

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "serving.md"
MARK = "<!-- not run: tests/serve/test_guide.py runs it -->"
ADDRESS = "http://127.0.0.1:8123"
WRITTEN = {"dog.wav", "rain.flac", "large.wav", "bell.wav", "stream.wav"}


def blocks():
    pattern = re.escape(MARK) + r"\n```sh\n(.*?)```"
    return re.findall(pattern, GUIDE.read_text(), re.DOTALL)


@pytest.fixture
def address(tiny_folder, tmp_path, listen):
    pool = ModelPool(PoolSettings(models=[str(tiny_folder)], device="cpu", precision="fp32"))
    manager = JobManager(pool, Store(tmp_path / "s"), Limits(), JobSettings(warm_up=False))
    with listen(manager) as found:
        yield found


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_lines_of_the_guide_run(address, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    assert len(blocks()) >= 4
    for block in blocks():
        script = block.replace(ADDRESS, address).replace("python -c", f"{sys.executable} -c")
        # few steps: the lines themselves are tested
        script = script.replace('"seed"', '"steps": 2, "seed"')
        script = script.replace("-F seed", "-F steps=2 -F seed")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    written = {path.name for path in folder.iterdir()}
    assert written >= WRITTEN | {"regions.zip"}
    for name in WRITTEN:
        assert soundfile.info(folder / name).frames > 0
