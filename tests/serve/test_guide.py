"""The curl lines of the guide to serving run, against a server over the tiny model."""

import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import soundfile
import uvicorn

from latentaudio.serve.app import create_app
from latentaudio.serve.jobs import JobManager, JobSettings
from latentaudio.serve.limits import Limits
from latentaudio.serve.model_pool import ModelPool, PoolSettings
from latentaudio.serve.store import Store

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "serving.md"
MARK = "<!-- not run: tests/serve/test_guide.py runs it -->"
ADDRESS = "http://127.0.0.1:8123"
WRITTEN = {"dog.wav", "rain.flac", "large.wav", "bell.wav"}


def blocks():
    pattern = re.escape(MARK) + r"\n```sh\n(.*?)```"
    return re.findall(pattern, GUIDE.read_text(), re.DOTALL)


@pytest.fixture
def address(tiny_folder, tmp_path):
    pool = ModelPool(PoolSettings(models=[str(tiny_folder)], device="cpu", precision="fp32"))
    manager = JobManager(pool, Store(tmp_path / "s"), Limits(), JobSettings(warm_up=False))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(manager), log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=30)
    listener.close()


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
