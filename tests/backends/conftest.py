"""Tiny models, mini, and one folder of networks that all tests convert once."""

import os
import shutil
import warnings
from dataclasses import replace

import pytest
from conftest import TINY, TINY_FILM, write_model
from filelock import FileLock

from latentaudio.config.architecture import DistilledUNetConfig
from latentaudio.fileio import CACHE_VARIABLE
from latentaudio.loaders import converted, prepared
from latentaudio.loaders.resolve import resolve_model

CONFIGS = {
    "audioldm": (replace(TINY_FILM, distilled_unet=DistilledUNetConfig()), "mini-film"),
    "audioldm2": (
        replace(
            TINY, unet=replace(TINY.unet, contexts=(16, 24), use_prior=False), latent_prior=None
        ),
        "mini",
    ),
    "prior": (TINY, "mini"),
}


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """A folder that all processes of this run of pytest share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "backends"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def folders(shared_folder):
    """A model of each architecture: tiny ones, which one process writes, and mini."""
    place = shared_folder / "models"
    with FileLock(shared_folder / "models.lock"):
        if not place.is_dir():
            new = shared_folder / "new"
            for name, row in CONFIGS.items():
                write_model(new / name, *row)
            new.rename(place)
    return {name: place / name for name in CONFIGS} | {"mini": "mini"}


@pytest.fixture(scope="session")
def cache_of_all_tests(shared_folder):
    return shared_folder / "cache"


@pytest.fixture(autouse=True)
def shared_cache(cache_of_all_tests, monkeypatch):
    """Networks are kept at once, in a folder that the tests share."""
    monkeypatch.setenv(CACHE_VARIABLE, str(cache_of_all_tests))
    monkeypatch.setattr("latentaudio.loaders.converted.is_unsettled", lambda files: False)
    monkeypatch.setattr(prepared, "FREE_BYTES", 0)


@pytest.fixture
def copied_conversion(folders, cache_of_all_tests, monkeypatch):
    """Give the networks of the FiLM model without converting them again; return the calls."""
    source = resolve_model(folders["audioldm"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = converted.converted_network(source, "unet", "full", "openvino", True).file
    calls = []

    def convert(graph, file):
        calls.append(file)
        shutil.copy(kept, file)
        shutil.copy(f"{kept}.data", file.parent)  # the graph names it

    monkeypatch.setattr(converted, "convert", convert)
    return calls
