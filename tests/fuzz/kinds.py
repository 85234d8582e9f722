"""The table of kinds of files: how each is damaged, and the door that opens it."""

import io
import json
import os
import warnings
from pathlib import Path

import torch
from kind import Kind
from mutations import (
    mutate_bytes,
    mutate_json,
    mutate_json_lines,
    mutate_text,
    mutate_value,
    mutate_yaml,
)
from other_kinds import open_data, other_kinds
from seeds import RATE, SOUNDS, noise, trainables

from latentaudio.audio.io import info, read, write
from latentaudio.cli.batch import Manifest
from latentaudio.cli.batch_list import make_row_requests, read_rows
from latentaudio.conditioning.tokenizer import Tokenizer
from latentaudio.config.options import GenerationOptions
from latentaudio.config.tags import upgrade_tags
from latentaudio.data.pre_encoded import PreEncodedDataset
from latentaudio.editing.drawn_mask import load_mask
from latentaudio.errors import LatentAudioError
from latentaudio.evaluate.mini.classifier import load_classifier
from latentaudio.generation.timeline import read_timeline
from latentaudio.loaders.components import component_names
from latentaudio.loaders.resolve import resolve_model
from latentaudio.loaders.tensor_files import open_tensors
from latentaudio.loaders.tokenizers import text_tokenizer_names, untruncated_tokenizer
from latentaudio.train.loop import _resume
from latentaudio.train.pre_encode import HASHES_FILE
from latentaudio.train.recipe import read_recipe
from latentaudio.train.run_folder import prepare_run_folder
from latentaudio.train.sessions import record_session, this_session
from latentaudio.train.unconditional import load_unconditional_inputs
from procedural_audio.errors import RenderError

MAX_MESSAGE_CHARS = 1000


def open_sound(path):
    info(path)
    read(path)


def open_tags(path):
    """Read the tags and make the request that they hold."""
    found = info(path)["tags"]
    GenerationOptions.from_tags(upgrade_tags(found))


def open_model(folder):
    """Open a model with all of its components and tokenizers."""
    model = resolve_model(folder)
    for name in component_names(model.config):
        model.load_component(name)
    for name in text_tokenizer_names(model.config):
        untruncated_tokenizer(model, name)


def open_tokenizer(path):
    tokenizer = Tokenizer.from_file(path, 24)
    tokenizer(["a dog barks 3 times", "", "é" * 40])
    tokenizer(["a dog"], length=24)


def open_weights(path):
    tensors = open_tensors(path)
    for name in tensors:
        tensors.shape(name)
        tensors.cast(name, torch.bfloat16)


def open_timeline(path):
    GenerationOptions(**{"prompt": "", **read_timeline(path)})


def open_list(path):
    make_row_requests(path, read_rows(path), {}, ".wav")


def open_batch(folder):
    manifest = Manifest(folder / "manifest.jsonl")
    manifest.requests()


def open_encoded(folder):
    data = PreEncodedDataset(folder)
    for position in range(3):
        data.batch(0, position, 512)
    load_unconditional_inputs(folder)


def open_run(folder):
    recipe = read_recipe(folder.parent / "recipe.yaml")
    prepare_run_folder(recipe, (folder.parent / "data",), folder, ())
    _resume(folder, trainables(), torch.device("cpu"))
    record_session(folder, this_session(4, 1, torch.device("cpu")))


def damage_tag_values(_, rng):
    """A WAV file whose tags were changed one by one."""
    from seeds import tags

    edits = [
        {}, {"edit": {"kind": "inpaint", "source": "a.wav", "time_ranges": [[0.1, 0.2]]}},
        {"edit": {"kind": "transfer", "source": "a.wav", "strength": 0.5}},
        {"timeline": [{"start": 0, "text": "a"}, {"start": 0.3, "text": "b"}]},
    ]  # fmt: skip
    values = {**tags(), "negative_prompt": "x"}
    for name, value in rng.choice(edits).items():
        values[name] = json.dumps(mutate_value(value, rng))
    if rng.random() < 0.5:
        values = mutate_value(values, rng)
    if not isinstance(values, dict):
        values = {}
    path = Path(f".{os.getpid()}.wav")
    write(path, noise(), RATE, {str(name): str(value) for name, value in values.items()})
    data = path.read_bytes()
    path.unlink()
    return mutate_text(data, rng) if rng.random() < 0.3 else data


def damage_header(data, rng):
    """Change the JSON header of a .safetensors file, its length or its bytes."""
    if rng.random() < 0.3:
        return mutate_bytes(data, rng)
    length = int.from_bytes(data[:8], "little")
    header = mutate_json(data[8 : 8 + length], rng)
    if rng.random() < 0.8:
        header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def damage_pickle(data, rng):
    """Change the values in a file of torch, or its bytes."""
    if rng.random() < 0.5:
        return mutate_bytes(data, rng)
    content = torch.load(io.BytesIO(data), weights_only=True)
    buffer = io.BytesIO()
    torch.save(mutate_value(content, rng), buffer)
    return buffer.getvalue()


def damage_by_name(data, rng):
    """Damage a JSON text if it is one; a list of merges otherwise."""
    return mutate_json(data, rng) if data[:1] in b"{[" else mutate_text(data, rng)


KINDS = {
    **{name: Kind(f"sounds/a.{name}", (), mutate_bytes, open_sound) for name in SOUNDS},
    "tags": Kind("sounds/a.wav", (), damage_tag_values, open_tags),
    "mask": Kind("mask.png", (), mutate_bytes, lambda path: load_mask(str(path))),
    "model.json": Kind("model", ("model.json",), mutate_json, open_model),
    "tokenizer.json": Kind("model/tokenizer.json", (), mutate_json, open_tokenizer),
    "weights": Kind("model", ("*.safetensors",), damage_header, open_model),
    "safetensors": Kind("model/vae.safetensors", (), damage_header, open_weights),
    "shards": Kind("shards", ("*.json",), mutate_json, lambda folder: open_weights(
        folder / "model.safetensors.index.json")),
    "diffusers": Kind("diffusers", ("*.json", "*/*.json", "*/*.txt"), damage_by_name, open_model),
    "checkpoint of the authors": Kind("original", ("*.ckpt",), damage_pickle, lambda folder:
        open_weights(folder / "model.ckpt")),
    "timeline": Kind("timeline.yaml", (), mutate_yaml, open_timeline),
    "recipe": Kind("recipe.yaml", (), mutate_yaml, read_recipe),
    "rows.csv": Kind("rows.csv", (), mutate_text, open_list),
    "rows.jsonl": Kind("rows.jsonl", (), mutate_json_lines, open_list),
    "rows.txt": Kind("rows.txt", (), mutate_text, open_list),
    "metadata": Kind("data", ("*.jsonl",), mutate_json_lines, open_data),
    "batch manifest": Kind("batch", ("*.jsonl",), mutate_json_lines, open_batch),
    "encoded index": Kind("encoded", ("*.json",), mutate_json, open_encoded),
    "encoded arrays": Kind("encoded", ("*.safetensors",), damage_header, open_encoded),
    "run": Kind("run", ("*.json*", "model/*.json"), mutate_json, open_run),
    "state.pt": Kind("run", ("checkpoints/*/state.pt",), damage_pickle, open_run),
    "classifier": Kind("classifier", ("*.json",), mutate_json, load_classifier),
    **other_kinds(damage_header),
}  # fmt: skip


def damage(kind, seeds, folder, rng):
    """Write a damaged file or folder of a kind into a folder; return its path."""
    source = seeds / kind.source
    target = folder / Path(kind.source).name
    if not kind.files:
        target.write_bytes(kind.damage(source.read_bytes(), rng))
        return target
    candidates = sorted({file for pattern in kind.files for file in source.glob(pattern)})
    chosen = rng.choice(candidates)
    for file in source.rglob("*"):
        copy = target / file.relative_to(source)
        if file.is_dir():
            copy.mkdir(parents=True)
        elif file == chosen:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(kind.damage(file.read_bytes(), rng))
        else:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.symlink_to(file)
    return target


def check_file(name, seeds, folder, rng):
    """Return what is wrong with how a damaged file is opened, or None."""
    kind = KINDS[name]
    for extra in ("recipe.yaml", "data"):
        (folder / extra).symlink_to(seeds / extra)
    if kind.source == "recipe.yaml" or kind.source == "data":
        (folder / kind.source).unlink()
    path = damage(kind, seeds, folder, rng)
    before = names_in(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind.door(path)
    except (LatentAudioError, RenderError) as error:
        message = str(error)
        if "\n" in message or not message.strip():
            return f"the message is not one line: {message!r:.150}"
        if len(message) > MAX_MESSAGE_CHARS:
            return f"the message has {len(message)} characters: {message:.150}"
    left = names_in(folder) - before - {f"run/{HASHES_FILE}"}  # a cache
    return f"it leaves {sorted(left)[:3]}" if left else None


def names_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
