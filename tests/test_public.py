"""The public surface: these names, nothing heavy before they are used."""

import subprocess
import sys

import pytest

import latentaudio


def test_all_is_the_surface_and_every_name_is_there():
    assert latentaudio.__all__ == ["Audio", "AudioLDM", "Options", "errors", "load", "variants"]
    assert dir(latentaudio) == latentaudio.__all__
    found = {name: getattr(latentaudio, name) for name in latentaudio.__all__}
    assert found["load"].__module__ == "latentaudio.pipeline"
    assert found["AudioLDM"].__name__ == "AudioLDM"
    assert issubclass(found["errors"].UsageError, found["errors"].LatentAudioError)
    assert "mini" in found["variants"].VARIANTS


def test_an_unknown_name_lists_the_known():
    with pytest.raises(
        AttributeError, match="no attribute 'Audioldm'; public names: Audio, AudioLDM"
    ):
        latentaudio.Audioldm  # noqa: B018


def test_importing_costs_nothing():
    code = "import sys, latentaudio; sys.exit(bool({'torch', 'numpy', 'pydantic', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_load_of_an_unknown_name_lists_what_exists():
    with pytest.raises(
        latentaudio.errors.UsageError,
        match=r"no model is called 'no-such' .* there are: mini, mini-film",
    ):
        latentaudio.load("no-such")
