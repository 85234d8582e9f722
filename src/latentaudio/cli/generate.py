"""`latentaudio generate`: prompts in, sound files out, each written as soon as it is finished."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..audio.io import info
from ..config.edits import AnyEdit
from ..config.options import GenerationOptions, PromptCue
from ..config.registry import DEFAULT_SPEECH_MODEL, MODELS
from ..errors import DataError, UsageError
from ..generation.timeline import is_audio, morph_cues, read_timeline
from . import console
from .output_paths import targets

if TYPE_CHECKING:
    from ..audio.io import Audio
    from ..pipeline import AudioLDM


VOICE = "A female reporter is speaking full of emotion"
"""How a transcript is said where nobody asks for another way (spec 12.2)."""


class Flags(GenerationOptions):
    """Options as flags; the prompt has none, because it stands by itself."""

    prompt: Annotated[str, Parameter(parse=False)] = "-"
    timeline: Annotated[tuple[PromptCue, ...], Parameter(parse=False)] = ()
    edit: Annotated[AnyEdit | None, Parameter(parse=False)] = None


Asked = Annotated[Flags, Parameter(name="*", show_default=False)]
_WINDOW = 10.24  # s, what models are trained on at most


@Parameter(name="*")
@dataclass(frozen=True)
class How:
    """How it is made, and told.

    Parameters
    ----------
    device
        auto, cpu, cuda or mps.
    precision
        auto, bf16 or fp32.
    reference
        Implementation to imitate with published weights: clean, original or diffusers.
    architecture
        Name of the model that a checkpoint file is, if the file does not tell.
    plot
        Also draw waveform and mel spectrogram beside each file, as FILE.png.
    json
        Print one line of JSON per file.
    quiet
        Print nothing but what --json asks for.
    """

    device: str = "auto"
    precision: str = "auto"
    reference: str = "clean"
    architecture: str | None = None
    plot: bool = False
    json: bool = False
    quiet: bool = False

    @property
    def computing(self) -> dict[str, Any]:
        """What `latentaudio.load` is told besides the model."""
        return {
            "device": self.device,
            "precision": self.precision,
            "reference": self.reference,
            "architecture": self.architecture,
        }

    def load(self, model: str) -> AudioLDM:
        """The model, computing in this way."""
        from ..pipeline import load

        return load(model, low_memory=True, **self.computing)


@Parameter(name="*")
@dataclass(frozen=True)
class Way(How):
    """Where it goes, and how.

    Parameters
    ----------
    output
        File (.wav, .flac, .ogg, .mp3, .opus) or folder (its name ends in / or has no ending). Several clips are numbered.
        Default: named after what was asked, here.
    """

    output: Annotated[str | None, Parameter(alias="-o")] = None


@Parameter(name="*")
@dataclass(frozen=True)
class Heard:
    """What is heard beside the prompt.

    Parameters
    ----------
    audio_prompt
        Audio file that is used like the prompt or instead of it. Default duration: that of the file, 10.24 s at most.
    audio_prompt_mode
        Feature taken from the file: its language of audio (loa) or its CLAP embedding (clap). Default: loa if the model has an
        AudioMAE.
    audio_prompt_weight
        Weight of the audio prompt against the text prompt, 0 to 1; 1 uses the audio alone. Default: 1.
    timeline
        YAML file of prompts with start times: a list of cues such as - {start: 0, text: light rain}.
    """

    audio_prompt: Path | None = None
    audio_prompt_mode: Literal["loa", "clap"] | None = None
    audio_prompt_weight: float = 1.0
    timeline: Path | None = None

    def added(self, wishes: dict[str, Any]) -> dict[str, Any]:
        """The wishes, and these."""
        if self.audio_prompt is None and (self.audio_prompt_mode or self.audio_prompt_weight != 1.0):
            raise UsageError("--audio-prompt-mode and --audio-prompt-weight need an audio prompt; name a file with --audio-prompt")
        if self.audio_prompt is not None and self.timeline is not None:
            raise UsageError("--timeline and --audio-prompt exclude each other; leave one out")
        if self.timeline is not None:
            wishes = {**read_timeline(self.timeline), **wishes}
        if self.audio_prompt is not None:
            length = min(info(self.audio_prompt)["duration"], _WINDOW)
            wishes = {
                "duration": length,
                **wishes,
                "timeline": (PromptCue(audio_prompt=str(self.audio_prompt), audio_prompt_mode=self.audio_prompt_mode or "", audio_prompt_weight=self.audio_prompt_weight),),
            }
        return wishes


def generate(
    *texts: str,
    prompt_file: Path | None = None,
    heard: Heard = Heard(),
    options: Asked = Flags(),
    estimate_memory: bool = False,
    way: Way = Way(),
) -> None:
    """Turn prompts into sound files.

    Parameters
    ----------
    texts
        What to hear; quote each one.
    prompt_file
        A file with a prompt on each line; behind a vertical bar its clip may be given a name.
    estimate_memory
        Only tell how much memory it would take, and how much is free.
    """
    if way.quiet:
        warnings.simplefilter("ignore")
    wishes = heard.added(spoken(options.model_dump(exclude_unset=True)))
    prompts, names = _asked(texts, prompt_file, wishes)
    if estimate_memory:
        _estimate(prompts, wishes, way)
    else:
        _made(prompts, names, wishes, way)


def morph(first: str, second: str, *, options: Asked = Flags(), way: Way = Way()) -> None:
    """Make a sound that begins as one thing and ends as another.

    Parameters
    ----------
    first
        What it begins as: words, or a sound's file.
    second
        What it ends as: words, or a sound's file.
    """
    if way.quiet:
        warnings.simplefilter("ignore")
    wishes = options.model_dump(exclude_unset=True)
    wishes = {**morph_cues(first, second, wishes.get("duration", 10.0)), **wishes}
    names = [" to ".join(Path(one).stem if is_audio(one) else one for one in (first, second))]
    _made([""], names, wishes, way)


def _made(prompts: list[str], names: list[str], wishes: dict[str, Any], way: Way) -> None:
    count, rate = wishes.get("num_waveforms", 1), wishes.get("sample_rate", 0)
    paths = targets(way.output, [name for name in names for _ in range(count)], rate=rate)
    with console.bar("generating", way.quiet or way.json) as tick:
        model = way.load(wishes.get("model", "mini"))
        for clip in model.stream(model.resolve_requests(prompts, wishes), progress=tick):
            keep(clip, next(paths), way.plot, way.json, way.quiet)


def spoken(wishes: dict[str, Any]) -> dict[str, Any]:
    """What was asked; a transcript wants a model that speaks."""
    if wishes.get("transcript"):
        wishes = {"model": DEFAULT_SPEECH_MODEL, **wishes}
        _check_speech(wishes["model"])
    return wishes


def _estimate(prompts: list[str], wishes: dict[str, Any], way: Way) -> None:
    """Tell what memory it would take; for a model of the table nothing is fetched."""
    from ..loaders.resolve import spec_only, resolve_model
    from ..pipeline import AudioLDM

    name = wishes.get("model", "mini")
    model = AudioLDM(
        spec_only(name) if name in MODELS else resolve_model(name), way.device, way.precision, low_memory=True
    )
    needed = model.estimate_memory(model.resolve_requests(prompts, wishes))
    console.tell(vars(needed), as_json=True) if way.json else console.say(str(needed))


def keep(clip: Audio, path: Path, plot: bool, json: bool, quiet: bool) -> None:
    """Write a clip, and its picture, and a line about it."""
    path = clip.save(path)
    if plot:
        _plot(clip, path.with_name(f"{path.name}.png"))
    if json:
        seen = {
            "path": path,
            "duration": clip.duration,
            "sample_rate": clip.sample_rate,
            "score": clip.score,
        }
        console.tell(
            {**seen, **clip.options.model_dump(exclude={"duration", "sample_rate", "num_waveforms", "candidates"})},
            as_json=True,
        )
    elif not quiet:
        score = "" if clip.score is None else f"  match {clip.score:.2f}"
        console.say(f"{path}  {clip.duration:g} s  seed {clip.seed}{score}")


def _asked(
    prompts: Sequence[str], prompt_file: Path | None, wishes: dict[str, Any]
) -> tuple[list[str], list[str]]:
    """Prompts and the names of their files; refuses what is wrong before anything heavy is imported."""
    listed = [
        *((prompt, prompt) for prompt in prompts),
        *(prompts_of(prompt_file) if prompt_file else []),
    ]
    if not listed and wishes.get("transcript"):
        listed = [(VOICE, wishes["transcript"])]
    named = wishes.pop("prompt", "")  # of a score
    if not listed and wishes.get("timeline"):
        request = GenerationOptions(**{"prompt": named, **wishes})
        sounds = [Path(cue.audio_prompt).stem for cue in request.timeline if cue.audio_prompt]
        listed = [(request.prompt, request.display_text or f"like {' and '.join(sounds)}")]
    if not listed:
        raise UsageError(
            "there is no prompt; say what to hear, for example: latentaudio generate 'a church bell ringing'"
        )
    for prompt, _ in listed:
        GenerationOptions(**{**wishes, "prompt": prompt})
    return [prompt for prompt, _ in listed], [name for _, name in listed]


def text_of(file: Path) -> str:
    """What a file of text says; DataError where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(
            f"cannot read {file} ({getattr(problem, 'strerror', None) or 'it is not UTF-8'})"
        ) from None


def prompts_of(file: Path) -> list[tuple[str, str]]:
    """(prompt, name) of every line of a file; without a bar the prompt is the name too."""
    pairs = []
    for number, line in enumerate(text_of(file).splitlines(), 1):
        prompt, _, name = (part.strip() for part in line.partition("|"))
        if "|" in name:
            raise UsageError(
                f"{file}, line {number} has two vertical bars; one parts the prompt from its name"
            )
        if prompt:
            pairs.append((prompt, name or prompt))
    return pairs


def _check_speech(model: str) -> None:
    """Refuse a transcript before anything is fetched where it cannot be read, or not by a model of that name."""
    from importlib.util import find_spec

    if model in MODELS and MODELS[model].config.phonemes is None:
        raise UsageError(
            f"{model} does not speak; for a transcript load a model of speech, such as {DEFAULT_SPEECH_MODEL}"
        )
    if find_spec("espeakng_loader") is None:
        raise UsageError("speech needs espeak-ng; pip install espeakng-loader")


def _plot(clip: Audio, path: Path) -> None:
    """Draw a clip up to the highest frequency it can hold."""
    import torch

    from ..audio.mel import vae_mel
    from ..audio.plot import save_picture
    from ..config.architecture import MelSpec

    log_mel = vae_mel(
        torch.from_numpy(clip.samples), MelSpec(sample_rate=clip.sample_rate, fmax=clip.sample_rate / 2)
    )
    save_picture(path, clip.samples, clip.sample_rate, log_mel[0, 0].numpy())
