"""The table of commands that are interrupted: their words, and what must hold of their files.

`finished` is called after the command was stopped. It returns what is complete by then, and fails
if a file of a final name is not: an asserted sentence is the reason. `results` is called after the
same command has run to its end. Both return {name: bytes}.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import conftest
import numpy as np
from hub_server import FILES as HUB_FILES
from safetensors import SafetensorError
from safetensors.torch import load
from seeds import DIFFUSERS, RATE

from latentaudio.audio.io import read, write
from latentaudio.train import checkpoint

NUM_CLIPS = 3
NUM_TRAINING_CLIPS = 6
ROWS = "".join(f"a dog {index},{index}\n" for index in range(NUM_CLIPS))
RECIPE = """\
stage: {stage}
model: mini
steps: {steps}
precision: fp32
device: cpu
save_every: 2
sample_every: 3
log_every: 1
optim: {{lr: 1.0e-3, warmup_steps: 2}}
{options}
"""
Contents = dict[str, bytes]


@dataclass(frozen=True)
class Operation:
    """A command in a folder of its own, `folder`, beside shared inputs, `inputs`.

    Attributes:
        words: (inputs, folder) -> words of the command line.
        finished: (folder) -> what is complete in a folder whose command was stopped.
        results: (folder) -> what the command makes that is promised to be the same every time.
        is_resumed: Whether the same command in the same folder goes on with what is finished.
            If not, it must say that it exists already, or make more files.
        is_whole: Whether all files appear at once.
        is_growing: Whether a result grows: what is there is the beginning of it.
        replaces_finished: Whether a later result replaces an earlier one, as a checkpoint does.
        keeps_when_stopped: Parts of the names of hidden files that it needs to go on.
        needs_new_process: Whether it starts processes itself, which a forked process cannot.
        needs_fork: Whether it needs the tiny architecture that this process calls mini.
    """

    words: Callable[[Path, Path], list]
    finished: Callable[[Path], Contents]
    results: Callable[[Path], Contents]
    is_resumed: bool = True
    is_whole: bool = False
    is_growing: bool = False
    replaces_finished: bool = False
    keeps_when_stopped: tuple[str, ...] = ()
    needs_new_process: bool = False
    needs_fork: bool = False


def make_inputs(folder):
    """Fill a folder with tiny models, a list, recipes and sounds."""
    folder.mkdir()
    conftest.write_model(folder / "model", conftest.TINY, "mini")
    conftest.write_model(folder / "plain", DIFFUSERS, "tiny")
    (folder / "rows.csv").write_text(f"prompt,seed\n{ROWS}")
    crops = "batch_size: 2\noptions: {crop_frames: 32, latent_stats_crops: 2}"
    (folder / "vae.yaml").write_text(RECIPE.format(stage="vae", steps=5, options=crops))
    (folder / "prior.yaml").write_text(RECIPE.format(stage="latent_prior", steps=5, options=""))
    data = folder / "data"
    data.mkdir()
    rng = np.random.default_rng(0)
    lines = []
    for index in range(NUM_TRAINING_CLIPS):
        times = np.arange(RATE) / RATE
        tone = 0.3 * np.sin(2 * math.pi * rng.uniform(200, 2000) * times).astype(np.float32)
        write(data / f"{index}.wav", tone[None], RATE, {})
        lines.append(json.dumps({"file_name": f"{index}.wav", "text": f"tone {index}"}))
    (data / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def files_in(folder, pattern="*"):
    """Return the files of a folder by their path in it; hidden ones and what they hold are none."""
    found = {}
    for path in sorted(folder.rglob(pattern)):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            found[str(name)] = path.read_bytes()
    return found


def _clips(folder):
    """Every clip of a folder; each can be decoded to its end."""
    clips = files_in(folder, "*.wav")
    for name, data in clips.items():
        assert data, f"{name} is empty"
        read(folder / name)
    return clips


def _clip_contents(folder):
    """The clips without their names, which differ if earlier ones exist already."""
    return {str(number): data for number, data in enumerate(sorted(set(_clips(folder).values())))}


def _generate(inputs, folder):
    return ["generate", "a dog", "--model", inputs / "model", "--duration", "0.64", "--steps", "2",
            "--num-waveforms", NUM_CLIPS, "--seed", "1", "-o", f"{folder}/out/"]  # fmt: skip


def _batch(inputs, folder):
    flags = ["--model", inputs / "model", "--duration", "0.64", "--steps", "2"]
    return ["batch", inputs / "rows.csv", folder / "out", *flags]


def _finished_batch(folder):
    """The files of the manifest; each is complete."""
    out = folder / "out"
    clips = _clips(out) if out.is_dir() else {}
    manifest = out / "manifest.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True) if manifest.is_file() else []
    recorded = {}
    for line in lines:
        if line.endswith(b"\n"):
            name = json.loads(line)["name"]
            assert name in clips, f"{name} is in the manifest, but no file"
            recorded[name] = clips[name]
    return recorded


def _stream(inputs, folder):
    number = len(list(folder.glob("*.wav")))
    return ["stream", "a dog", "--model", inputs / "model", "--steps", "2", "--seed", "1",
            "--duration", "3", "-o", folder / f"{number}.wav"]  # fmt: skip


def _streamed(folder):
    """Samples of a stream, which can be decoded up to the last whole piece."""
    streams = sorted(folder.glob("*.wav"))
    return {"samples": read(streams[-1])[0].tobytes()} if streams else {}


def _download(inputs, folder):
    return ["download", "o/r", "--to", folder / "model"]


def _downloaded(folder):
    files = files_in(folder / "model")
    for name, data in files.items():
        assert data == HUB_FILES[name], f"{name} is not what the hub has"
    return files


def _convert(inputs, folder):
    return ["convert", inputs / "plain", folder / "converted", "--layout", "diffusers"]


def _render(num_workers):
    def words(inputs, folder):
        command = ["dataset", "render", folder / "corpus", "--hours", "0.002"]
        classes = ["--classes", "dog", "bell", "rain", "--durations", "0.64"]
        return [*command, *classes, "--num-workers", num_workers]

    return words


def _train(recipe, *flags):
    def words(inputs, folder):
        command = ["train", inputs / recipe, "--output", folder / "runs" / "a"]
        return [*command, "--data", inputs / "data", "--init-from", inputs / "model", *flags]

    return words


def _trained(folder):
    """Checkpoints and weights; each can be read."""
    run = folder / "runs" / "a"
    checkpoint.load_latest(run)
    weights = files_in(run / "model", "*.safetensors")
    for name, data in weights.items():
        try:
            load(data)
        except SafetensorError as error:
            raise AssertionError(f"{name} is damaged: {error}") from None
    states = {f"checkpoints/{path.name}": b"" for path in (run / "checkpoints").glob("step_*")}
    return states and {str(max(states)): b""}


def _trained_results(folder):
    """The weights of the run and its losses, without the speed."""
    run = folder / "runs" / "a"
    results = files_in(run / "model", "*.safetensors")
    lines = (run / "log.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    for entry in entries:
        del entry["steps_per_second"]
    return {**results, "log": json.dumps(entries).encode()}


OPERATIONS = {
    "generate": Operation(_generate, _clips, _clip_contents, is_resumed=False),
    "batch": Operation(_batch, _finished_batch, lambda folder: files_in(folder / "out", "*.wav")),
    "stream": Operation(_stream, _streamed, _streamed, is_resumed=False, is_growing=True),
    "download": Operation(
        _download, _downloaded, _downloaded, keeps_when_stopped=(".model.fetching",)
    ),
    "convert": Operation(_convert, files_in, files_in, is_resumed=False, is_whole=True),
    "dataset": Operation(_render(1), files_in, files_in, is_resumed=False, is_whole=True),
    "dataset, workers": Operation(
        _render(2), files_in, files_in, is_resumed=False, is_whole=True, needs_new_process=True
    ),
    "train": Operation(
        _train("vae.yaml"), _trained, _trained_results, replaces_finished=True, needs_fork=True
    ),
    "train, encoded": Operation(
        _train("prior.yaml"),
        _trained,
        _trained_results,
        replaces_finished=True,
        keeps_when_stopped=(".chunks_",),
        needs_fork=True,
    ),
}
"""Every operation that is interrupted."""
COMMANDS = {
    "generate": ("generate",),
    "batch": ("batch",),
    "stream": ("stream",),
    "download": ("download",),
    "convert": ("convert",),
    "dataset": ("dataset", "dataset", "dataset, workers"),
    "train": ("train", "train, encoded"),
}
"""Commands with their operations, which take turns."""


def hidden_files(folder):
    """Return the hidden files of a folder and of those in it: temporary ones and locks."""
    return [str(path.relative_to(folder)) for path in folder.rglob(".*")]
