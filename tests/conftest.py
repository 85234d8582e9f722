"""A complete AudioLDM 2 of a few thousand random weights, with every component of a real one.

It is written to a model folder and loads in milliseconds.
"""

import atexit
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

# Before torch is imported. Tiny tensors gain nothing from more threads, and programs that a test
# starts get the same number, on which rounding depends.
os.environ["OMP_NUM_THREADS"] = "1"
# Checks of data sets are remembered in a folder that the tests remove, not in that of the user.
# Not a TemporaryDirectory: pytest imports this file several times and drops the modules.
_CACHE = tempfile.mkdtemp(prefix="latentaudio-tests-")
atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
os.environ["LATENTAUDIO_CACHE"] = _CACHE

import pytest
import torch

from latentaudio.conditioning.tokenizer import build_tokenizer
from latentaudio.config.architecture import (
    AudioMAEConfig,
    CLAPConfig,
    LatentPriorConfig,
    ModelConfig,
    ScheduleConfig,
    T5Config,
    TranslatorConfig,
    UNetConfig,
    VAEConfig,
    VocoderConfig,
)
from latentaudio.loaders.components import build_component, component_names
from latentaudio.loaders.layouts import ModelSource
from latentaudio.loaders.model_folder import TOKENIZER_FILE, save_component, write_config

WORKER_MEMORY_GB = 2.5
"""Memory for a process of tests; one process for the whole suite uses 2.1 GB."""

VOCAB_SIZE = 1200
TINY = ModelConfig(
    vae=VAEConfig(
        channels=8,
        channel_mult=(1, 1, 2, 2),
        latent_channels=4,
        num_res_blocks=1,
        num_groups=4,
    ),
    unet=UNetConfig(
        latent_channels=4,
        channels=16,
        channel_mult=(1, 2),
        num_res_blocks=1,
        attention=(False, True),
        contexts=(None, 16, 24),
        num_heads=(1, 2),
        num_groups=4,
        num_position_frequencies=4,
        use_prior=True,
    ),
    vocoder=VocoderConfig(kind="istft", channels=16, ffn_dim=32, num_layers=2),
    schedule=ScheduleConfig(prediction="v"),
    clap=CLAPConfig(
        projection_dim=8,
        text_hidden_size=16,
        text_num_layers=1,
        text_num_heads=2,
        text_ffn_dim=32,
        text_max_positions=26,
        vocab_size=VOCAB_SIZE,
        text_max_length=24,
        audio_hidden_size=8,
        audio_depths=(1, 1, 1, 1),
        audio_num_heads=(1, 1, 2, 2),
    ),
    t5=T5Config(
        hidden_size=24,
        head_dim=8,
        num_heads=2,
        num_layers=2,
        ffn_dim=32,
        vocab_size=VOCAB_SIZE,
        max_length=24,
    ),
    latent_prior=LatentPriorConfig(
        hidden_size=16,
        num_layers=1,
        num_heads=2,
        num_uniform_frequencies=4,
        num_position_frequencies=4,
    ),
    translator=TranslatorConfig(
        hidden_size=16,
        num_layers=2,
        num_heads=2,
        max_positions=64,
        source_dims=(8, 24),
        num_tokens=8,
    ),
    audiomae=AudioMAEConfig(
        hidden_size=16,
        num_layers=1,
        num_heads=2,
        decoder_hidden_size=16,
        decoder_num_layers=1,
        decoder_num_heads=2,
        num_averaged_layers=1,
    ),
)
TINY_FILM = replace(
    TINY,
    unet=replace(TINY.unet, contexts=(None,), film_dim=8, use_prior=False),
    t5=None,
    latent_prior=None,
    translator=None,
    audiomae=None,
)


def available_memory_gb():
    """Memory that is free on Linux; elsewhere it is taken to suffice."""
    path = Path("/proc/meminfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    kilobytes = [float(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return kilobytes[0] / 1e6 if kilobytes else float("inf")


def usable_processors():
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def count_workers(num_processors, memory_gb):
    """Return the processes for the whole suite; 0 means this one alone."""
    num_workers = int(min(num_processors, memory_gb / WORKER_MEMORY_GB))
    return num_workers if num_workers > 1 else 0


def pytest_xdist_auto_num_workers(config):
    """Share the whole suite among processes; a chosen part runs in this one."""
    is_whole = config.args_source is not config.ArgsSource.ARGS and not config.option.keyword
    return count_workers(usable_processors(), available_memory_gb()) if is_whole else 0


def pytest_terminal_summary(terminalreporter):
    """Print what tests recorded with `record_property`, such as the number of examples."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in getattr(report, "user_properties", []):
            terminalreporter.write_line(f"{name}: {value}")


def write_model(folder, config, name):
    """Write a model folder of random weights; layers that start at zero get random ones, too."""
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    write_config(folder, config, name, {"made": "randomly"})
    for component in component_names(config):
        state = build_component(component, config).state_dict()
        for key, value in state.items():
            if value.is_floating_point() and value.ndim > 1 and not value.any():
                scale = value[0].numel() ** -0.5
                state[key] = torch.randn(value.shape, generator=generator) * scale
        save_component(folder, component, state)
    tokenizer = build_tokenizer(["dog", "bell", "rain", "door"], VOCAB_SIZE)
    tokenizer.save(str(folder / TOKENIZER_FILE))
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """Model folder of a tiny AudioLDM 2 with the name of mini."""
    return write_model(tmp_path_factory.mktemp("models") / "tiny", TINY, "mini")


@pytest.fixture(scope="session")
def film_folder(tmp_path_factory):
    """Model folder of a tiny AudioLDM 1."""
    return write_model(tmp_path_factory.mktemp("models") / "film", TINY_FILM, "mini-film")


@pytest.fixture(scope="session")
def tiny(tiny_folder):
    """The tiny AudioLDM 2, loaded."""
    from latentaudio import load

    return load(tiny_folder, device="cpu", precision="fp32")


@pytest.fixture(autouse=True)
def same_number_of_threads():
    """Restore the number of threads, which `reproduce` changes."""
    num_threads = torch.get_num_threads()
    yield
    if torch.get_num_threads() != num_threads:
        torch.set_num_threads(num_threads)


@pytest.fixture
def loaded(monkeypatch):
    """Names of the components that are loaded from disk, in order."""
    names = []
    load_component = ModelSource.load_base_component

    def recorded(source, name, *arguments, **keywords):
        names.append(name)
        return load_component(source, name, *arguments, **keywords)

    monkeypatch.setattr(ModelSource, "load_base_component", recorded)
    return names
