"""A running hub server and the cache of its repository."""

import os

import huggingface_hub
import huggingface_hub.constants
import pytest
from hub_server import serving

from latentaudio.loaders import hub_download


@pytest.fixture(scope="module", autouse=True)
def close_http_session():
    yield
    huggingface_hub.close_session()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A running hub server, an empty cache, and no pauses between retries."""
    for name in [
        name for name in os.environ if name.startswith("HF_") or name.lower().endswith("_proxy")
    ]:
        monkeypatch.delenv(name)
    # otherwise the library sends a request of its own once a day, for its user agent
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(
        huggingface_hub.constants, "HF_HUB_OFFLINE", False
    )  # the library reads the environment once
    monkeypatch.setattr(hub_download, "PAUSES_S", (0.0, 0.0))
    with serving() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        yield server


@pytest.fixture
def repo_cache(tmp_path):
    return tmp_path / "cache" / "models--o--r"
