"""A tiny published model, and its row of the table of models."""

from dataclasses import replace

import published
import pytest
from comparison import KINDS

from latentaudio.config import registry
from latentaudio.loaders.resolve import resolve_model


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    return published.save(
        KINDS[request.param](), tmp_path_factory.mktemp("convert") / request.param
    )


@pytest.fixture
def tiny_spec(monkeypatch, folder):
    """The table with a row of the tiny system's shapes, so that `like` and names reach it."""
    spec = replace(
        resolve_model(folder).spec,
        name="tiny-published",
        unet_parameters=1,
        use_ema=True,
        original_checkpoint="tiny.ckpt",
    )
    monkeypatch.setitem(registry.MODELS, "tiny-published", spec)
    return spec
