"""`AudioLDM`: a prompt becomes sound. Short verbs over one private `_sample`, which is the walk of ARCHITECTURE.md.

Knows in which order the rooms are visited and who shares a batch. Refuses to know the arithmetic of any room, file formats and
screens.

Letters: B batch, T mel frames, F mel bins, N samples, n tokens of the language of audio.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import cycle, islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from . import memory
from .asking import SEEDS, batches, completed, tries
from .audio.io import Audio, info, read
from .audio.ops import Samples, check_sound, fade_edges, limit_peak, resample
from .codec import SHARED, Codec
from .conditioning import phonemes
from .conditioning.encode import Reading, TextParts, encode
from .device import fast_dtype, pick_device
from .diffusion.edit import begun
from .diffusion.guidance import Guidance, Network, guided
from .diffusion.samplers import SPACING, Noise, ddim, dpmpp_2m, leaps
from .diffusion.schedule import Schedule
from .edits import check, check_length, checksum, planned, sealed, taken, whole_length
from .errors import GenerationError, UsageError
from .nn.tiles import blended, starts
from .nn.unet import Deep
from .options import EditOptions, Options, SamplerName
from .presets import PresetName
from .rank import similarity
from .types import Conditioning, Edit, Step
from .verbs import Sound, Verbs
from .weights.load import Found, find
from .weights.parts import Parts
from .weights.texts import read_texts

if TYPE_CHECKING:
    from .nn.unet import UNet
    from .nn.vae import VAE

Progress: TypeAlias = Callable[[int, int], None]
"""Called after every sampling step with (clip-steps done, of how many)."""
OnStep: TypeAlias = Callable[[Step], None]
"""Called with every `Step` of every batch; whatever it raises ends the generation."""

_AHEAD, _KEPT = 32, 64  # batches whose texts are read before the first sounds, where parts take turns; readings remembered


def load(
    source: str | Path = "mini",
    device: str = "auto",
    precision: str = "auto",
    *,
    fidelity: str = "clean",
    like: str | None = None,
    parts: Mapping[str, str | Path] | None = None,
    lean: bool = False,
) -> AudioLDM:
    """The model called `source`: a name of `latentaudio.variants`, a hub id, a model or run folder, a diffusers folder, or an
    authors' checkpoint (.ckpt, .pth, .safetensors).

    device: auto, cpu, cuda, mps. precision: auto, bf16 or fp32. fidelity: clean, original or diffusers, in whose way published
    weights compute (`latentaudio.fidelity`). like: the name of the model a checkpoint is, where it does not tell. parts: files
    that take the place of single parts, such as {"vocoder": "hifigan.ckpt"}. lean: parts of published models take turns in
    memory: each that reads text alone, then those that make sound. Weights are read when first needed. Raises UsageError for an
    unknown name or device, WeightsError for weights that are missing or do not fit.
    """
    return AudioLDM(find(source, like, fidelity, parts), device, precision, lean)


class AudioLDM(Verbs):
    """One whole system. Parts (`unet`, `vae`, `vocoder`, those of `text`) load when first used. lean: see `load`."""

    def __init__(self, found: Found, device: str = "auto", precision: str = "auto", lean: bool = False) -> None:
        self.found = found
        self.config = found.config
        where = pick_device(device)
        self.parts = Parts(found, where, fast_dtype(where, precision), lean and found.variant.parameters > 0)
        self.codec = Codec(found, self.parts)
        self._heard: dict[Reading, Conditioning] = {}
        self._heard_by, self._reading = 0, Lock()
        self.batch = 1 if self.device.type == "cpu" else 8
        """Clips sampled at once. More gain little on a CPU; alone, a clip is bit for bit what its seed makes, in bf16 too.
        Beside others arithmetic rounds otherwise: for mini by 3e-4 in float32 and 0.04 in bf16 after all steps."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.parts.device

    @property
    def dtype(self) -> torch.dtype | None:
        """The type of what has most of the work; None is float32."""
        return self.parts.dtype

    @property
    def unet(self) -> UNet:
        """The denoiser."""
        return cast("UNet", self.parts["unet"])

    @property
    def vae(self) -> VAE:
        """The mel VAE."""
        return self.codec.vae

    @property
    def vocoder(self) -> nn.Module:
        """Log-mel [B, 1, T, F] to samples [B, 1, N]."""
        return self.codec.vocoder

    @cached_property
    def text(self) -> TextParts:
        """Whatever reads prompts."""
        found = self.found
        return read_texts(found.folder, self.config, self.parts, layout=found.layout, fidelity=found.fidelity)

    @property
    def sample_rate(self) -> int:
        """Samples a second of what comes out, in Hz."""
        return self.config.mel.rate

    def generate(
        self,
        prompt: str | Sequence[str],
        *,
        negative: str | None = None,
        transcript: str | None = None,
        seconds: float | None = None,
        seed: int | None = None,
        preset: PresetName | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        parallel: float | None = None,
        guidance_start: float | None = None,
        guidance_stop: float | None = None,
        rescale: float | None = None,
        sampler: SamplerName | None = None,
        eta: float | None = None,
        reuse: int | None = None,
        candidates: int | None = None,
        count: int | None = None,
        progress: Progress | None = None,
        on_step: OnStep | None = None,
    ) -> list[Audio]:
        """`count` clips of each prompt, in order; what the options mean is written in `Options`, None is the model's default.

        Clip k of the list is made with seed + k (of the candidates of a clip each takes the next), so that it is the clip which
        that seed makes alone. Raises UsageError for a wrong option, GenerationError for silence or values that are not finite.
        """
        given = {
            "negative": negative, "transcript": transcript, "seconds": seconds, "seed": seed,
            "preset": preset, "steps": steps, "reuse": reuse,
            "guidance": guidance, "parallel": parallel,
            "guidance_start": guidance_start, "guidance_stop": guidance_stop, "rescale": rescale,
            "sampler": sampler, "eta": eta, "candidates": candidates, "count": count,
        }  # fmt: skip
        wishes = {name: value for name, value in given.items() if value is not None}
        prompts = [prompt] if isinstance(prompt, str) else prompt
        return list(self.stream(self.requests(prompts, wishes), progress=progress, on_step=on_step))

    def requests(self, prompts: Sequence[str], wishes: dict[str, Any]) -> list[Options]:
        """A complete request for each prompt; their seeds leave room for each other's clips. Raises UsageError."""
        if not prompts:
            raise UsageError("there is no prompt; say what to hear")
        first, *rest = (completed(Options(prompt=prompt, **wishes), self.found) for prompt in prompts)
        tries = first.count * first.candidates
        return [first, *(later.replaced(seed=(first.seed + k * tries) % SEEDS) for k, later in enumerate(rest, 1))]

    def stream(
        self, requests: Sequence[Options], *, progress: Progress | None = None, on_step: OnStep | None = None
    ) -> Iterator[Audio]:
        """The clips of all requests in order, each as soon as it is finished. Wrong options raise here, before any work."""
        asked = [completed(request, self.found) for request in requests]
        for request in asked:
            if request.edit is not None:
                check(request.edit, self._given(request).shape[1] / self.sample_rate, self.config.mel)
        return self._clips(asked, progress, on_step)

    def similarity(self, sounds: Sequence[Samples], texts: Sequence[str]) -> NDArray[np.float32]:
        """CLAP's cosines [K, M] between K sounds, each [C, N] or [N] at `sample_rate`, and M texts."""
        with self.parts.together():
            return similarity(self.text, sounds, self.sample_rate, texts)

    def edit(
        self,
        sound: Sound,
        edit: EditOptions,
        prompt: str = "",
        *,
        progress: Progress | None = None,
        on_step: OnStep | None = None,
        **wishes: Any,
    ) -> Iterator[Audio]:
        """Clips of a sound that something was done to, each as soon as it is finished; wrong options raise here.

        sound: a file, of any rate and number of channels, an `Audio`, or samples [C, N] or [N] at `sample_rate`. wishes: as for
        `generate`.
        Raises DataError for a file that is no sound, UsageError for what cannot be done to it.
        """
        named = str(sound) if isinstance(sound, str | Path) else ""
        if isinstance(sound, Audio):
            sound = resample(sound.samples, sound.sample_rate, self.sample_rate)
        samples = self._read(sound) if isinstance(sound, str | Path) else taken(sound)
        check(edit, samples.shape[1] / self.sample_rate, self.config.mel)
        edit = sealed(edit, named, samples)
        whole = samples.shape[1] + round(edit.left * self.sample_rate) + round(edit.right * self.sample_rate)
        if "seconds" in wishes:
            raise UsageError(f"{edit.verb} makes a sound as long as its own, and what is put to it; leave out seconds")
        wishes |= {"edit": edit, "seconds": whole / self.sample_rate}
        return self._clips(self.requests([prompt], wishes), progress, on_step, samples)

    def need(self, requests: Sequence[Options]) -> memory.Need:
        """About how much memory these will take, one after the other, and how much is free. Nothing is loaded for it."""
        asked, window = [completed(request, self.found) for request in requests], self.codec.window * self.config.vae.factor
        return max((memory.need(self.parts, one, window, self.batch) for one in asked), key=lambda need: need.gigabytes)

    def resynthesise(self, sound: Samples) -> Samples:
        """Samples [1, N] or [N] at `sample_rate` once through VAE and vocoder, [1, N]: the best that this model can sound."""
        return self.codec.resynthesised(sound)

    def _clips(
        self,
        asked: Sequence[Options],
        progress: Progress | None = None,
        on_step: OnStep | None = None,
        sound: Samples | None = None,
    ) -> Iterator[Audio]:
        for text in dict.fromkeys(text for request in asked for text in (request.prompt, request.negative)):
            if not self.text.read_whole(text):
                warnings.warn(f"the model reads only the beginning of {text[:40]!r}...; say it in fewer words", stacklevel=2)
        for text in dict.fromkeys(request.transcript for request in asked if request.transcript):
            if self.config.phonemes is not None and not phonemes.fits(text, self.config.phonemes.length):
                warnings.warn(f"the model says only the beginning of {text[:40]!r}...; say it in fewer words", stacklevel=2)
        if self.found.variant.parameters and not (needed := self.need(asked)).fits:
            warnings.warn(str(needed), stacklevel=2)
        single = [try_ for request in asked for try_ in tries(request)]
        made = memory.within(self._sounds(single, progress, on_step, sound))
        notes = {"licence": self.found.variant.licence, "fidelity": self.found.fidelity.name}
        for request in asked:
            for _ in range(request.count):
                chances = self._sound(list(islice(made, request.candidates)))
                score, best = None, 0
                if request.candidates > 1:
                    matches = self.similarity([samples for _, samples in chances], [request.prompt])[:, 0]
                    best = int(matches.argmax())
                    score = float(matches[best])
                options, samples = chances[best]
                yield Audio(samples, self.sample_rate, options, score, notes)

    def _sound(self, chances: Sequence[tuple[Options, Samples]]) -> list[tuple[Options, Samples]]:
        """The chances of one clip that can be heard, finished, in [-1, 1]; GenerationError where none can."""
        good, problem = [], None
        for options, wave in chances:
            try:
                check_sound(wave)
            except GenerationError as found:
                problem = problem or found
            else:
                whole = options.edit is None and self.found.fidelity.finish  # what is kept of a sound stays as it was
                finished = fade_edges(limit_peak(wave), self.sample_rate) if whole else limit_peak(wave, 1.0)
                good.append((options, finished))
        if problem and not good:
            raise problem
        return good

    def _sounds(
        self, tries: Sequence[Options], progress: Progress | None, on_step: OnStep | None, sound: Samples | None
    ) -> Iterator[tuple[Options, Samples]]:
        """Each try with its samples [1, N], in order; tries that differ in prompt and seed only share a batch."""
        total, done, plan, planned_for = sum(t.steps for t in tries), 0, None, None
        coming = batches(tries, self.batch)
        while ahead := list(islice(coming, _AHEAD if self.parts.lean else 1)):
            for batch, heard in zip(ahead, self._conditionings(ahead), strict=True):
                if batch[0].edit != planned_for:
                    planned_for = batch[0].edit
                    given = sound if sound is not None or planned_for is None else self._given(batch[0])
                    plan = None if planned_for is None or given is None else planned(planned_for, given, self.codec)
                for step in self._sample(batch, *heard, None if plan is None else plan.edit):
                    if on_step is not None:
                        on_step(step)
                    if progress is not None:
                        progress(done + (step.index + 1) * len(batch), total)
                done += sum(one.steps for one in batch)
                if self.parts.lean and batch is ahead[-1]:
                    self.parts.release("unet", "student")
                wanted = round(batch[0].seconds * self.sample_rate) if self.found.fidelity.trim else None
                made = [wave[:, :wanted] for wave in self.codec.sound(step.z)]
                self.parts.rest()
                yield from zip(batch, made if plan is None else map(plan.finish, made), strict=True)

    def _read(self, file: str | Path) -> Samples:
        """A sound's samples [1, N] at the model's rate; one that is too long is refused before it is decoded."""
        head = info(file)
        check_length(float(head["seconds"]))
        if head["channels"] > 1:
            warnings.warn(f"{file} has {head['channels']} channels; their average is worked on", stacklevel=2)
        return taken(read(file, self.sample_rate)[0])

    def _given(self, request: Options) -> Samples:
        """The sound that an edit was made of, from its file."""
        edit = request.edit
        assert edit is not None
        if not edit.sound:
            raise UsageError("this edit was made of samples that no file holds; make it anew from them")
        sound = self._read(edit.sound)
        if edit.samples and checksum(sound) != edit.samples:
            raise UsageError(f"{edit.sound} is not the sound it was when this edit was made; bring that one back")
        if round(request.seconds * self.sample_rate) != whole_length(edit, sound.shape[1], self.sample_rate):
            raise UsageError(f"seconds = {request.seconds:g} is not what {edit.verb} makes of {edit.sound}")
        return sound

    @torch.inference_mode()
    def _sample(
        self, batch: Sequence[Options], heard: Conditioning, null: Conditioning, edit: Edit | None = None
    ) -> Iterator[Step]:
        """The walk of a prompt from what is heard to the latent: guidance, sampler. All of `batch` share their settings."""
        options, frames = batch[0], self.codec.frames(batch[0].seconds)
        schedule = Schedule(self.config.schedule)
        pieces = len(starts(frames // self.config.vae.factor, self.codec.window, self.codec.window // SHARED))
        network = self.network(options.reuse, "student" if options.sampler == "leaps" else "unet", pieces)
        one = guided(network, heard, null, self._guidance(options), schedule)

        def denoise(z: Tensor, t: Tensor) -> Tensor:
            return blended(lambda piece: one(piece, t), z, self.codec.window, self.codec.window // SHARED)

        factor = self.config.vae.factor
        noise = Noise([t.seed for t in batch])
        z = noise((self.config.vae.latent, frames // factor, self.config.mel.bins // factor)).to(self.device)
        given: dict[str, Any] = {}
        if edit is not None:
            times = schedule.timesteps(options.steps, SPACING[options.sampler])
            z, start, times, before = begun(edit, z, schedule, times, noise)
            given = {"start": start, "times": times, "before": before}
            if start == options.steps:
                yield Step(start - 1, start, 0, z, z)
        match options.sampler:
            case "ddim":
                yield from ddim(denoise, z, schedule, options.steps, options.eta, noise, **given)
            case "dpm++":
                yield from dpmpp_2m(denoise, z, schedule, options.steps, **given)
            case "leaps":
                assert self.config.student is not None
                yield from leaps(denoise, z, schedule, self.config.student.stops)

    @torch.inference_mode()
    def _conditionings(self, batches: Sequence[Sequence[Options]]) -> list[tuple[Conditioning, Conditioning]]:
        """What each batch hears, and what guidance steers it away from. Readings that were heard lately are not read again."""
        pairs = [self._readings(batch) for batch in batches]
        wanted = dict.fromkeys(reading for pair in pairs for reading in pair)
        with self._reading:
            if self._heard_by != self.parts.changes:
                self._heard.clear()
                self._heard_by = self.parts.changes
            new = [reading for reading in wanted if reading not in self._heard]
            known = {reading: self._heard.pop(reading) for reading in wanted if reading in self._heard}
            known |= zip(new, encode(self.text, new) if new else (), strict=True)
            self._heard |= known  # the latest last
            for old in list(self._heard)[:-_KEPT]:
                del self._heard[old]
        return [(known[heard], known[null]) for heard, null in pairs]

    def _readings(self, batch: Sequence[Options]) -> tuple[Reading, Reading]:
        """A batch's prompts, and its negative prompts; the prompts twice where nothing is guided."""
        frames = min(self.codec.frames(batch[0].seconds), self.codec.window * self.config.vae.factor)
        tokens, moments = self._tokens(frames), frames // self.config.vae.factor
        texts, negative = (tuple(getattr(t, name) for t in batch) for name in ("prompt", "negative"))
        said = tuple(t.transcript for t in batch) if self.config.phonemes is not None else None
        if not any(text.strip() for text in texts):  # an edit without words
            unsaid = Reading(texts, tokens, moments, null=True)
            return unsaid, unsaid
        heard = Reading(texts, tokens, moments, said, unheard=tuple(self._unheard(batch)))
        if self._guidance(batch[0]).scale == 1.0:
            return heard, heard
        width = None
        if self.found.fidelity.pad_null and self.text.t5_tokens is not None:
            width = self.text.t5_tokens(texts)[0].shape[1]
        return heard, Reading(negative, tokens, moments, width=width, null=True)

    def _guidance(self, options: Options) -> Guidance:
        """What the options say of guidance."""
        scale = options.guidance if options.guidance > 1.0 or self.found.fidelity.weak else 1.0
        return Guidance(scale, options.parallel, options.rescale, options.guidance_start, options.guidance_stop)

    def _unheard(self, batch: Sequence[Options]) -> list[bool]:
        """Which prompts CLAP does not get to read, by their seeds; none but where a fidelity drops some (spec 5.6)."""
        chance = self.found.fidelity.clap_null
        return [chance > float(torch.rand(1, generator=torch.Generator().manual_seed(t.seed))) for t in batch]

    def network(self, reuse: int = 1, part: Literal["unet", "student"] = "unet", pieces: int = 1) -> Network:
        """The UNet as guidance calls it on one walk: float32 out, and what no step changes worked out once.

        reuse: how many steps share the UNet's deep part. pieces: windows that a long latent is seen in, one after the other.
        """
        unet = self.parts.caller(part) if reuse == 1 else self.parts[part]  # a graph knows no every other step
        prepare, turns = (
            lru_cache(maxsize=2)(cast("UNet", self.parts[part]).prepare),
            cycle([Deep(reuse) for _ in range(pieces)]),
        )

        def predict(z: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
            heard = prepare(conditioning)
            prediction: Tensor = unet(z, t, heard) if reuse == 1 else unet(z, t, heard, next(turns))
            return prediction.float()

        return predict

    def move(self, device: str | torch.device, precision: str | None = None) -> None:
        """Compute on another device or with another precision from now on."""
        where = pick_device(str(device))
        self.parts.move(where, self.dtype if precision is None else fast_dtype(where, precision))
        self.batch = 1 if where.type == "cpu" else 8

    def _tokens(self, frames: int) -> int:
        """Length n of the language of audio of that many frames; a system without an AudioMAE always writes the same."""
        heard, written = self.config.audiomae, self.config.translator
        if heard is None or written is None:
            return written.tokens if written else 0
        return math.ceil(frames / (heard.patch * written.time_pool)) * (heard.bins // heard.patch // written.freq_pool)
