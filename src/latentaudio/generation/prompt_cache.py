"""Conditionings of recent prompts on the disk, so that a repeated prompt loads no text encoder.

The key of an entry is everything that decides its values: the texts and their tokens, the files of
the encoders, the model's dimensions, the libraries, the processor and the number of threads. It is
what the encoders return, bit for bit. Prompts with audio or a transcript are not kept.

Texts are not stored, only a hash of them. Letters: B batch.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..conditioning.base import EncoderInputs, Encoders
from ..errors import DataError
from ..fileio import atomic_write, cache_folder, text_key
from ..loaders.component_store import ComponentStore
from ..loaders.components import COMPONENTS, component_names
from ..loaders.prepared import identity_of_component
from ..types import Conditioning, Context

FOLDER = "prompts"
MAX_ENTRIES = 256
MAX_BYTES = 64 << 20
"""The oldest entries are deleted beyond this number or this size."""
_VERSION = "1"
"""Changed when encoders give other values for the same files and texts."""
_LIBRARIES = ("torch", "transformers", "tokenizers", "latentaudio")
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS")
"""Variables that hold libraries to some instructions, on which rounding depends."""


def prompt_files() -> list[Path]:
    """Return the files of all entries, the oldest first."""
    dated = []
    for file in (cache_folder() / FOLDER).glob("*.safetensors"):
        with suppress(OSError):  # another process has just deleted it
            dated.append((file.stat().st_mtime_ns, file))
    return [file for _, file in sorted(dated)]


class PromptCache:
    """The entries that one model can use.

    Attributes:
        components: The networks of the model.
        encoders: Its encoders, with their tokenizers.
    """

    def __init__(self, components: ComponentStore, encoders: Encoders) -> None:
        self.components = components
        self.encoders = encoders
        self._model_key = ""
        self._can_write = True

    def read(self, needed: Sequence[EncoderInputs]) -> dict[EncoderInputs, Conditioning]:
        """Return the conditionings that are on the disk."""
        stored = {}
        for inputs in needed:
            if not self._is_kept(inputs):
                continue
            file = self._file(inputs)
            with suppress(OSError, SafetensorError, KeyError, ValueError):
                stored[inputs] = _read(file).map(lambda value: value.to(self.components.device))
                file.touch()
        return stored

    def write(self, encoded: Mapping[EncoderInputs, Conditioning]) -> None:
        """Keep conditionings, as far as the disk takes them, and delete the oldest entries."""
        for inputs, conditioning in encoded.items():
            if self._can_write and self._is_kept(inputs):
                try:
                    _write(self._file(inputs), conditioning)
                except (
                    DataError,
                    OSError,
                    SafetensorError,
                ):  # the clip matters, not the next start
                    self._can_write = False
        _delete_oldest()

    def _is_kept(self, inputs: EncoderInputs) -> bool:
        """Whether the networks are those of the files, and read nothing but texts."""
        is_unchanged = not self.components.version and not self.components.source.adapters
        return is_unchanged and inputs.audio_prompt is None and inputs.transcripts is None

    def _file(self, inputs: EncoderInputs) -> Path:
        if not self._model_key:
            self._model_key = self._key_of_model()
        tokens = []
        for tokenizer in self.encoders.tokenizers.values():
            tokens.append(tokenizer(inputs.texts, inputs.t5_length)[0].tolist())
        key = text_key(f"{self._model_key} {torch.get_num_threads()} {inputs} {tokens}")
        return cache_folder() / FOLDER / f"{key}.safetensors"

    def _key_of_model(self) -> str:
        """Return a hash of what decides the values beside the texts."""
        source = self.components.source
        lines = [_VERSION, repr(source.config), repr(source.reference), str(self.components.device)]
        lines += [f"{library} {version(library)}" for library in _LIBRARIES]
        lines += [_processor(), *(os.environ.get(name, "") for name in _LIMITS)]
        for name in component_names(source.config):
            if COMPONENTS[name].role == "text":
                lines.append(f"{name} {identity_of_component(source, name)}")
        return text_key("\n".join(lines))


@cache
def _processor() -> str:
    """Return the name of the processor, and the instructions that torch uses."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.is_file() else platform.processor()
    model = [line for line in text.splitlines() if line.startswith(("model name", "flags"))]
    return f"{platform.machine()} {model[:2]} {torch.backends.cpu.get_cpu_capability()}"


def _write(file: Path, conditioning: Conditioning) -> None:
    """Write an entry, with a hash of its values.

    Raises:
        DataError: The disk does not take it.
    """
    tensors: dict[str, Tensor] = {}
    for k, context in enumerate(conditioning.contexts):
        tensors[f"tokens.{k}"] = context.tokens
        tensors[f"mask.{k}"] = context.mask
    for name in ("film", "prior"):
        value = getattr(conditioning, name)
        if value is not None:
            tensors[name] = value
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with atomic_write(file) as temporary:
        save_file(stored, temporary, {"hash": _hash(stored)})


def _read(file: Path) -> Conditioning:
    """Return an entry.

    Raises:
        OSError: There is none.
        SafetensorError: It is damaged.
        ValueError: Its values are not those that were written.
    """
    with safe_open(file, framework="pt") as opened:
        stated = opened.metadata()["hash"]
        # copies, so that nothing depends on the file or on its addresses
        tensors = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118
    if _hash(tensors) != stated:
        raise ValueError("damaged")
    contexts = []
    for k in range(sum(name.startswith("tokens.") for name in tensors)):
        contexts.append(Context(tensors[f"tokens.{k}"], tensors[f"mask.{k}"]))
    return Conditioning(tensors.get("film"), tuple(contexts), tensors.get("prior"))


def _hash(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _delete_oldest() -> None:
    """Delete the entries beyond the limits."""
    num_bytes = 0
    for number, file in enumerate(reversed(prompt_files()), 1):
        with suppress(OSError):
            num_bytes += file.stat().st_size
            if number > MAX_ENTRIES or num_bytes > MAX_BYTES:
                file.unlink()
