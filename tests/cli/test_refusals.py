"""A command that is refused, or that fails, leaves no new file or folder: all commands that write.

Each row is refused at another point: before anything is read, when a file is read, when a model
is loaded, or in the middle of the work.
"""

import shutil
from dataclasses import replace

import huggingface_hub
import pytest
import soundfile
from conftest import TINY, write_model
from hub_server import serving
from numpy import random

from latentaudio.cli.main import COMMANDS, app, main
from latentaudio.config import registry
from latentaudio.errors import GenerationError
from latentaudio.generation import engine
from latentaudio.train.pre_encoder import PreEncoder

WRITES = {"--output", "--folder", "--to", "--target"}
"""Flags and arguments that name a new file or folder."""
RECIPE = "stage: {stage}\nsteps: 2\nprecision: fp32\ndevice: cpu\n"
BATCH = "batch_size: 2\n"
CROPS = f"{BATCH}options: {{crop_frames: 32, latent_stats_crops: 2}}\n"
NEW = "new/deep/x"
GENERATING = "--model model --duration 0.64 --steps 1 --device cpu"
ROWS = (
    f"generate dog -o {NEW}/ --model missing",
    f"generate dog -o {NEW}/ --model damaged",
    f"generate dog -o {NEW}/ {GENERATING} --sampler x",
    f"generate dog -o {NEW}/ {GENERATING} --adapter missing",
    f"generate dog -o {NEW}/ {GENERATING}",
    f"generate --timeline damaged.yaml -o {NEW}.wav --model model",
    f"morph dog rain -o {NEW}/ {GENERATING}",
    f"morph dog missing.wav -o {NEW}/ {GENERATING}",
    f"stream dog -o {NEW}.wav {GENERATING}",
    "stream dog -o x.wav --model damaged",
    f"batch rows.csv {NEW} --model missing",
    f"batch rows.csv {NEW} --model damaged",
    f"batch damaged.csv {NEW} --model model",
    f"batch missing.csv {NEW} --model model",
    f"batch rows.csv {NEW} --model model --format x",
    f"transfer damaged.wav rain -o {NEW}/ --model model",
    f"transfer a.wav rain -o {NEW}/ --model model --steps 1",
    f"vary a.wav -o {NEW}/ --model missing",
    f"vary a.wav -o {NEW}/ --model model --steps 1",
    f"inpaint a.wav -o {NEW}/ --model model --time 9-10",
    f"inpaint a.wav -o {NEW}/ --model model --mask missing.png",
    f"super-resolve damaged.wav -o {NEW}/ --model model",
    f"extend missing.wav -o {NEW}/ --model model",
    f"loop damaged.wav -o {NEW}/ --model model",
    f"reproduce a.wav -o {NEW}.wav",
    f"reproduce missing.wav -o {NEW}.wav",
    f"download o/none --to {NEW}",
    f"download o/r --to {NEW}",
    f"convert missing {NEW} --layout diffusers",
    f"convert damaged {NEW} --layout latentaudio",
    f"convert model {NEW} --layout latentaudio --adapter missing",
    f"convert model {NEW}.ckpt --layout original",
    f"dataset render {NEW} --hours -1",
    f"dataset render {NEW}",
    f"dataset render {NEW} --hours 0.001 --classes nothing",
    f"dataset render {NEW} --demo nothing",
    f"dataset encode missing -o {NEW}",
    f"dataset encode damaged_data -o {NEW}",
    f"dataset encode data -o {NEW} --model x",
    f"dataset encode data -o {NEW} --init-from damaged",
    f"dataset encode data -o {NEW} --init-from missing",
    f"dataset encode data -o {NEW} --init-from model",
    f"dataset shard missing -o {NEW}",
    f"dataset shard damaged_data -o {NEW}",
    f"finetune missing -o {NEW}",
    f"finetune data -o {NEW} --model missing",
    f"finetune data -o {NEW} --set x=1",
    f"finetune data -o {NEW} --model damaged",
    f"train missing.yaml -o {NEW} --data data",
    f"train vae.yaml -o {NEW} --data missing",
    f"train vae.yaml -o {NEW} --data damaged_data",
    f"train vae.yaml -o {NEW} --data cut_data --init-from model --strict",
    f"train vae.yaml -o {NEW} --data data --init-from damaged",
    f"train vae.yaml -o {NEW} --data data --set options.x=1",
    f"train prior.yaml -o {NEW} --data data --init-from model",
    f"train prior.yaml -o {NEW} --data data --init-from damaged",
    f"train clap.yaml -o {NEW} --data missing",
    f"evaluate quality --model missing -o {NEW}.json",
    f"evaluate quality --model model --classifier missing -o {NEW}.json",
    f"evaluate editing --model damaged -o {NEW}.json",
    f"evaluate mini --model missing --output {NEW}.json",
    f"evaluate page missing.json --output {NEW}.html",
    f"export missing {NEW}",
    f"export damaged {NEW}",
    f"mcp --folder {NEW} --model missing",
    f"benchmark --models missing -o {NEW}.json",
    f"benchmark --models mini --device x -o {NEW}.json",
)
"""Command lines; where a model generates or encodes, it fails in its last step."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with a model, sounds, lists and recipes, and damaged ones of each."""
    folder = tmp_path_factory.mktemp("inputs")
    write_model(folder / "model", TINY, "mini")
    shutil.copytree(folder / "model", folder / "damaged")
    for file in (folder / "damaged").glob("*.safetensors"):
        file.write_bytes(file.read_bytes()[:100])
    for name in ("data", "cut_data"):
        (folder / name).mkdir()
        for number in range(3):
            noise = random.default_rng(number).normal(scale=0.1, size=16000)
            soundfile.write(folder / name / f"{number}.flac", noise, 16000)
            (folder / name / f"{number}.txt").write_text("a dog")
    sound = folder / "cut_data" / "2.flac"
    sound.write_bytes(sound.read_bytes()[:9000])
    (folder / "damaged_data").mkdir()
    (folder / "damaged_data" / "metadata.jsonl").write_text('{"file_name": "none.wav"\n')
    noise = random.default_rng(9).normal(scale=0.1, size=10240)
    soundfile.write(folder / "a.wav", noise, 16000)
    (folder / "damaged.wav").write_bytes(b"RIFF")
    (folder / "rows.csv").write_text("prompt\na dog\n")
    (folder / "damaged.csv").write_text("prompt,steps\na dog,x\n")
    (folder / "damaged.yaml").write_text("timeline: 3\n")
    for stage, options in {"vae": CROPS, "latent_prior": "", "clap": BATCH}.items():
        name = stage.removeprefix("latent_")
        (folder / f"{name}.yaml").write_text(RECIPE.format(stage=stage) + options)
    return folder


@pytest.fixture
def folder(inputs, tmp_path, tmp_path_factory, monkeypatch):
    """A folder with links to the inputs, in which no command finishes a clip or encodes a sound."""
    for path in inputs.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    mini = replace(registry.MODELS["mini"], config=TINY)
    monkeypatch.setitem(registry.MODELS, "mini", mini)

    def fail(*_):
        raise GenerationError("the clip is silent")

    monkeypatch.setattr(engine, "check_audible", fail)
    monkeypatch.setattr(PreEncoder, "encode_rows", fail)
    with serving() as server:
        server.wrong.add("model_index.json")  # the first file; whole ones stay for the next time
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path_factory.mktemp("home")))
        yield tmp_path


def names_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("line", ROWS)
def test_a_refused_command_leaves_nothing(line, folder, inputs, capsys):
    before = names_in(folder) | names_in(inputs)
    code = main(line.split())
    printed = capsys.readouterr().err
    assert code == 2, printed
    assert printed.splitlines()[-1].startswith("latentaudio: ")
    assert names_in(folder) | names_in(inputs) == before, printed


def test_every_command_that_writes_has_a_row():
    commands = set()
    for command in COMMANDS:
        names = [name for name in app[command.name] if not name.startswith("-")]
        apps = {f"{command.name} {name}": app[command.name][name] for name in names}
        for words, each in (apps or {command.name: app[command.name]}).items():
            flags = {name for argument in each.assemble_argument_collection()
                     for name in argument.names}  # fmt: skip
            if flags & WRITES:
                commands.add(words)
    tested = {words for words in commands if any(f"{row} ".startswith(f"{words} ") for row in ROWS)}
    assert len(commands) > 15
    assert tested == commands
