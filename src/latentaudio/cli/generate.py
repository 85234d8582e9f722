"""`latentaudio generate`: prompts in, sound files out, each written as soon as it is finished."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..errors import UsageError
from ..options import Options
from . import screen

if TYPE_CHECKING:
    from ..audio.io import Audio


class Flags(Options):
    """Options as flags; the prompt has none, because it stands by itself."""

    prompt: Annotated[str, Parameter(parse=False)] = "-"


def generate(
    *prompts: str,
    output: Annotated[str | None, Parameter(alias="-o")] = None,
    options: Annotated[Flags, Parameter(name="*", show_default=False)] = Flags(),
    device: str = "auto",
    precision: str = "auto",
    fidelity: str = "clean",
    like: str | None = None,
    plot: bool = False,
    json: bool = False,
    quiet: bool = False,
) -> None:
    """Turn prompts into sound files.

    Parameters
    ----------
    prompts
        What to hear; quote each one.
    output
        File (.wav, .flac, .ogg, .mp3) or folder (its name ends in / or has no ending). Several clips are numbered. Default:
        named by the prompt, here.
    device
        auto, cpu, cuda or mps.
    precision
        auto, bf16 or fp32.
    fidelity
        clean, original or diffusers: in whose way published weights compute.
    like
        Name of the model that a checkpoint file is, where it does not tell.
    plot
        Also draw waveform and mel spectrogram beside each file, as FILE.png.
    json
        Print one line of JSON per file.
    quiet
        Print nothing but what --json asks for.
    """
    if quiet:
        warnings.simplefilter("ignore")
    wishes = options.model_dump(exclude_unset=True)
    if not prompts:
        raise UsageError("there is no prompt; say what to hear, for example: latentaudio generate 'a church bell ringing'")
    for prompt in prompts:
        Options(**{**wishes, "prompt": prompt})  # refuses what is wrong before anything heavy is imported
    from .target import targets

    paths = targets(output, [prompt for prompt in prompts for _ in range(options.count)])
    from ..pipeline import load

    with screen.bar("generating", quiet or json) as tick:
        model = load(options.model, device, precision, fidelity=fidelity, like=like)
        for clip in model.stream(model.requests(prompts, wishes), progress=tick):
            path = clip.save(next(paths))
            if plot:
                _plot(clip, path.with_name(f"{path.name}.png"))
            if json:
                seen = {"path": path, "seconds": clip.seconds, "rate": clip.sample_rate, "score": clip.score}
                screen.tell({**seen, **clip.options.model_dump(exclude={"seconds", "count", "candidates"})}, as_json=True)
            elif not quiet:
                score = "" if clip.score is None else f"  match {clip.score:.2f}"
                screen.say(f"{path}  {clip.seconds:g} s  seed {clip.seed}{score}")


def _plot(clip: Audio, path: Path) -> None:
    """Draw a clip up to the highest frequency it can hold."""
    import torch

    from ..audio.mel import vae_mel
    from ..audio.picture import save_picture
    from ..configs import MelSpec

    log_mel = vae_mel(torch.from_numpy(clip.samples), MelSpec(rate=clip.sample_rate, fmax=clip.sample_rate / 2))
    save_picture(path, clip.samples, clip.sample_rate, log_mel[0, 0].numpy())
