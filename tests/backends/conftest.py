"""Tiny models, mini, and one folder of networks that all tests convert once."""

from dataclasses import replace

import pytest
from conftest import TINY, TINY_FILM, write_model

from latentaudio.config.architecture import DistilledUNetConfig
from latentaudio.fileio import CACHE_VARIABLE
from latentaudio.loaders import prepared

CONFIGS = {
    "audioldm": (replace(TINY_FILM, distilled_unet=DistilledUNetConfig()), "mini-film"),
    "audioldm2": (
        replace(
            TINY, unet=replace(TINY.unet, contexts=(16, 24), use_prior=False), latent_prior=None
        ),
        "mini",
    ),
}


@pytest.fixture(scope="package")
def folders(tmp_path_factory):
    """A model of each architecture: tiny ones, and mini."""
    place = tmp_path_factory.mktemp("models")
    tiny = {name: write_model(place / name, *row) for name, row in CONFIGS.items()}
    return tiny | {"mini": "mini"}


@pytest.fixture(scope="package")
def cache_of_all_tests(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def shared_cache(cache_of_all_tests, monkeypatch):
    """Networks are kept at once, in a folder that the tests share."""
    monkeypatch.setenv(CACHE_VARIABLE, str(cache_of_all_tests))
    monkeypatch.setattr("latentaudio.loaders.converted.is_unsettled", lambda files: False)
    monkeypatch.setattr(prepared, "FREE_BYTES", 0)
