"""The public names, and that importing them costs nothing before they are used."""

import subprocess
import sys

import pytest

import latentaudio


def test_public_names():
    names = ["Audio", "AudioLDM", "GenerationOptions", "errors", "list_models", "load"]
    assert latentaudio.__all__ == names
    assert dir(latentaudio) == names
    assert latentaudio.load.__module__ == "latentaudio.pipeline"
    assert latentaudio.Audio.__module__ == "latentaudio.audio.io"
    assert latentaudio.AudioLDM.__name__ == "AudioLDM"
    assert latentaudio.GenerationOptions(prompt="rain").prompt == "rain"
    assert issubclass(latentaudio.errors.UsageError, latentaudio.errors.LatentAudioError)


def test_list_models_starts_with_the_bundled_model():
    assert latentaudio.list_models()[0] == "mini"
    assert "audioldm2-full" in latentaudio.list_models()


def test_an_unknown_name_lists_the_public_ones():
    with pytest.raises(
        AttributeError, match="no attribute 'Audioldm'; public names: Audio, AudioLDM"
    ):
        latentaudio.Audioldm  # noqa: B018


def test_importing_costs_nothing():
    heavy = "{'torch', 'numpy', 'pydantic', 'transformers'}"
    code = f"import sys, latentaudio; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_loading_an_unknown_name_lists_the_models():
    with pytest.raises(
        latentaudio.errors.UsageError,
        match="'no-such' is not a model, a folder or a file; models are: mini, mini-film",
    ):
        latentaudio.load("no-such")
