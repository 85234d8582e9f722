"""One model from one layout into another, tensor by tensor to the bit, with its tokenizers and configs.

Knows what each layout wants beside the weights. Refuses to compute with a model. Writes are whole or not there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ..conditioning.g2p import SYMBOLS
from ..config.architecture import ModelConfig
from ..errors import DataError, UsageError, said
from ..fileio import filling, replacing
from . import audioldm_format, diffusers_configs, diffusers_format, key_mapping
from .model_folder import TOKENIZER_FILE, parts_of, save_part, write_config
from .resolve import Found, Layout
from .text_encoders import read_tokenizer

FILES = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "projection_model": "diffusion_pytorch_model",
}
PREPROCESSOR = {
    "chunk_length_s": 10, "feature_extractor_type": "ClapFeatureExtractor", "feature_size": 64, "fft_window_size": 1024,
    "frequency_max": 14000, "frequency_min": 50, "hop_length": 480, "max_length_s": 10, "n_fft": 1024,
    "nb_frequency_bins": 513, "nb_max_frames": 1000, "nb_max_samples": 480000, "padding": "repeatpad",
    "padding_side": "right", "padding_value": 0, "processor_class": "ClapProcessor", "return_attention_mask": False,
    "sampling_rate": 48000, "top_db": None, "truncation": "rand_trunc",
}  # fmt: skip


def convert(
    found: Found, target: Path, layout: Layout, progress: Callable[[int, int], None] | None = None
) -> None:
    """Write a model in a layout: a new folder or, for "original", a new .ckpt with tokenizers in folders beside it.

    Raises DataError where the target exists or cannot be written, UsageError where a layout cannot say what the model is.
    """
    if target.exists():
        raise DataError(f"{target} exists already; name another place")
    single = layout == "original"
    if single != (target.suffix in (".ckpt", ".pth")):
        wanted = "a file that ends in .ckpt or .pth" if single else "a folder, not a file"
        raise UsageError(f"--layout {layout} is {wanted}; {target} is not")
    if not single:
        try:
            with filling(target) as folder:
                (_to_diffusers if layout == "diffusers" else _to_latentaudio)(
                    found, folder, progress
                )
        except (OSError, SafetensorError) as problem:
            raise DataError(
                f"cannot write {target} ({problem}); choose another place or free some"
            ) from None
        return
    diffusers_configs.check(found.config)
    if not audioldm_format.sayable(found.config):
        raise UsageError(
            "a checkpoint cannot say its shapes, and no published model has these; use --layout diffusers"
        )
    with (
        replacing(target) as temporary,
        TemporaryDirectory(dir=target.parent, prefix=".tokenizers") as beside,
    ):
        homes = [home for _, home in _tokenized(found.config)]
        for part, home in _tokenized(found.config):
            _write_tokenizer(found, part, Path(beside, home))
            if (target.parent / home).exists() and _files(target.parent / home) != _files(
                Path(beside, home)
            ):
                raise DataError(
                    f"{target.parent / home} is of another model; give {target.name} a folder of its own"
                )
        content = {"state_dict": dict(_original(found, progress)), "global_step": 0}
        try:
            torch.save(content, temporary)
        except RuntimeError as problem:  # how torch tells of a full disk
            raise DataError(
                f"cannot write {target} ({said(problem)}); choose another place"
            ) from None
        for home in homes:
            if not (target.parent / home).exists():
                Path(beside, home).rename(target.parent / home)


def _files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def _states(
    found: Found, progress: Callable[[int, int], None] | None
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Each part's name and state as stored, one at a time."""
    names = parts_of(found.config)
    for done, name in enumerate(names, 1):
        yield name, dict(found.part(name, as_stored=True).state_dict())
        if progress is not None:
            progress(done, len(names))


def _to_latentaudio(
    found: Found, folder: Path, progress: Callable[[int, int], None] | None
) -> None:
    card = {
        "purpose": found.variant.purpose,
        "licence": found.variant.licence,
        "converted": f"from {Path(found.source).name}",
    }
    write_config(folder, found.config, found.variant.name, card)
    for part, state in _states(found, progress):
        save_part(folder, part, state)
    for part, _ in _tokenized(found.config):
        _rules(found, part).save(str(folder / f"{part}.{TOKENIZER_FILE}"))


def _to_diffusers(found: Found, folder: Path, progress: Callable[[int, int], None] | None) -> None:
    own = found.folder if found.layout == "diffusers" else None
    for name, content in diffusers_configs.components(found.config).items():
        if (
            own is not None and name == "unet/config.json"
        ):  # its usual length, which our shapes do not hold
            content["sample_size"] = diffusers_format.read_json(own / name).get(
                "sample_size", content["sample_size"]
            )
        _json(folder / name, content)
    if own is not None:
        shutil.copyfile(own / diffusers_format.SCHEDULER, folder / diffusers_format.SCHEDULER)
    _json(folder / diffusers_format.INDEX, diffusers_format.index(found.config))
    files: dict[str, dict[str, Tensor]] = {}
    for part, state in _states(found, progress):
        if part == "audiomae":
            continue
        theirs = dict(
            key_mapping.write(key_mapping.slots(part, found.config, state, "diffusers"), state)
        )
        if part == "vocoder":
            bins = found.config.vocoder.bins
            theirs |= {"mean": torch.zeros(bins), "scale": torch.ones(bins)}
        if part == "clap" and found.config.unet.first_kind:
            theirs = {name: value for name, value in theirs.items() if name.startswith("text_")}
        for name, value in theirs.items():
            home, _, inner = (
                name.rpartition("/")
                if "/" in name
                else (diffusers_format.COMPONENTS[part], "", name)
            )
            files.setdefault(home, {})[inner] = value
    for home, tensors in files.items():
        path = folder / home / f"{FILES.get(home, 'model')}.safetensors"
        path.parent.mkdir(exist_ok=True)
        save_file({k: v.contiguous() for k, v in tensors.items()}, path, {"format": "pt"})
        path.chmod(0o644)
    for part, home in _tokenized(found.config):
        _write_tokenizer(found, part, folder / home)
    if found.config.phonemes is not None:
        _write_symbols(found, folder / diffusers_format.TOKENIZERS["t5"])
    if found.config.clap is not None:
        _json(folder / "feature_extractor" / "preprocessor_config.json", PREPROCESSOR)


def _original(
    found: Found, progress: Callable[[int, int], None] | None
) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of an authors' checkpoint, the copies that theirs hold and the schedule's buffers included."""
    for part, state in _states(found, progress):
        theirs = dict(
            key_mapping.write(key_mapping.slots(part, found.config, state, "original"), state)
        )
        if part == "t5":
            theirs["encoder.embed_tokens.weight"] = theirs["shared.weight"]
        for prefix in audioldm_format.homes(part, found.config):
            yield from ((prefix + name, value) for name, value in theirs.items())
    yield "scale_factor", torch.tensor(1 / found.config.latent_std[0])
    yield from _schedule(found.config)


def _schedule(config: ModelConfig) -> Iterator[tuple[str, Tensor]]:
    """The buffers that Lightning keeps of the forward process (spec 11.2; DDPM, arXiv 2006.11239)."""
    numbers = config.schedule
    betas = (
        torch.linspace(
            numbers.beta_start**0.5, numbers.beta_end**0.5, numbers.steps, dtype=torch.float64
        )
        ** 2
    )
    bar = torch.cumprod(1 - betas, 0)
    before = torch.cat([bar.new_ones(1), bar[:-1]])
    variance = betas * (1 - before) / (1 - bar)
    buffers = {
        "betas": betas, "alphas_cumprod": bar, "alphas_cumprod_prev": before, "sqrt_alphas_cumprod": bar.sqrt(),
        "sqrt_one_minus_alphas_cumprod": (1 - bar).sqrt(), "log_one_minus_alphas_cumprod": (1 - bar).log(),
        "sqrt_recip_alphas_cumprod": bar.rsqrt(), "sqrt_recipm1_alphas_cumprod": (1 / bar - 1).sqrt(),
        "posterior_variance": variance, "posterior_log_variance_clipped": variance.clamp(min=1e-20).log(),
        "posterior_mean_coef1": betas * before.sqrt() / (1 - bar),
        "posterior_mean_coef2": (1 - before) * (1 - betas).sqrt() / (1 - bar),
    }  # fmt: skip
    yield from ((name, value.float()) for name, value in buffers.items())
    yield "logvar", torch.zeros(numbers.steps)


def _tokenized(config: ModelConfig) -> list[tuple[str, str]]:
    return [
        (part, folder)
        for part, folder in diffusers_format.TOKENIZERS.items()
        if getattr(config, part) is not None
    ]


def _rules(found: Found, part: str) -> Any:
    length = found.config.clap.text_length if part == "clap" and found.config.clap else 0
    length = found.config.t5.length if part == "t5" and found.config.t5 else length
    rules = read_tokenizer(found.folder, found.layout, part, length).rules
    rules.no_truncation()
    return rules


def _copied(found: Found, part: str, home: Path) -> bool:
    """Whether the source has a tokenizer's folder of its own, which then is at `home`."""
    if found.layout == "latentaudio":
        return False
    own = (
        found.folder if found.layout == "diffusers" else found.folder.parent
    ) / diffusers_format.TOKENIZERS[part]
    if own.is_dir() and own.resolve() != home.resolve():
        shutil.copytree(own, home, dirs_exist_ok=True)
    return own.is_dir()


def _write_tokenizer(found: Found, part: str, home: Path) -> None:
    """A tokenizer's folder: the source's own one whole, or one made of its rules."""
    if _copied(found, part, home):
        return
    home.mkdir(parents=True, exist_ok=True)
    _rules(found, part).save(str(home / TOKENIZER_FILE))
    assert found.config.clap is not None
    length = (
        found.config.clap.text_length
        if part == "clap"
        else found.config.t5.length
        if found.config.t5
        else 0
    )
    kind = "RobertaTokenizerFast" if part == "clap" else "T5TokenizerFast"
    marks = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    if part == "clap":
        marks |= {
            "bos_token": "<s>",
            "cls_token": "<s>",
            "sep_token": "</s>",
            "mask_token": "<mask>",
        }
    _json(
        home / "tokenizer_config.json",
        {"tokenizer_class": kind, "model_max_length": length, **marks},
    )


def _write_symbols(found: Found, home: Path) -> None:
    """The table of phonemes as transformers' VitsTokenizer reads it: the source's own, or ours, which takes phonemes."""
    if _copied(found, "t5", home):
        return
    assert found.config.phonemes is not None
    _json(home / "vocab.json", {symbol: place for place, symbol in enumerate(SYMBOLS)})
    off = dict.fromkeys(("add_blank", "is_uroman", "normalize", "phonemize"), False)
    marks = {"pad_token": "_", "unk_token": "_", "model_max_length": found.config.phonemes.length}
    _json(home / "tokenizer_config.json", {"tokenizer_class": "VitsTokenizer", **marks, **off})


def _json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
