"""`AudioLDM`: a prompt becomes sound. Short verbs over one private `_sample`, which is the walk of ARCHITECTURE.md.

Knows in which order the rooms are visited and who shares a batch. Refuses to know the arithmetic of any room, file formats and
screens.

Letters: B batch, T mel frames, F mel bins, N samples, n tokens of the language of audio.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, cycle, islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .audio.io import Audio, info, read
from .audio.ops import Samples, check_sound, fade_edges, limit_peak, resample
from .audio.postprocess import SIDE, finished
from .codec import SHARED, Codec
from .conditioning import g2p
from .conditioning.base import TextParts
from .config.options import Cue, Ear, EditOptions, Options, SamplerName
from .config.presets import PresetName
from .device import fast_dtype, pick_device
from .diffusion.guidance import Guidance, Network, guided, together
from .diffusion.samplers import SPACING, Noise, ddim, dpmpp_2m, leaps
from .diffusion.schedule import Schedule
from .diffusion.sdedit import begun
from .editing.plan import check, check_length, checksum, planned, sealed, taken, whole_length
from .errors import GenerationError, UsageError
from .generation import memory
from .generation.ranking import similarity
from .generation.resolve import SEEDS, batches, completed, other_side, tries
from .generation.streaming import Sound, Verbs
from .generation.timeline import turned
from .generation.window_conditioning import Hearing
from .loaders.component_store import Parts
from .loaders.resolve import Found, find
from .models.tiling import blended
from .models.unet import Deep
from .types import Conditioning, LatentEdit, Step, WeightedConditioning

if TYPE_CHECKING:
    from .models.unet import UNet
    from .models.vae import VAE

Progress: TypeAlias = Callable[[int, int], None]
"""Called after every sampling step with (clip-steps done, of how many)."""
OnStep: TypeAlias = Callable[[Step], None]
"""Called with every `Step` of every batch; whatever it raises ends the generation."""

_AHEAD = 32  # batches whose texts are read before the first sounds, where parts take turns


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
    """The model called `source`: a name of `latentaudio.config.registry`, a hub id, a model or run folder, a diffusers folder, or an
    authors' checkpoint (.ckpt, .pth, .safetensors).

    device: auto, cpu, cuda, mps. precision: auto, bf16 or fp32. fidelity: clean, original or diffusers, in whose way published
    weights compute (`latentaudio.config.reference`). like: the name of the model a checkpoint is, where it does not tell. parts: files
    that take the place of single parts, such as {"vocoder": "hifigan.ckpt"}. lean: parts of published models take turns in
    memory: each that reads text alone, then those that make sound. Weights are read when first needed. Raises UsageError for an
    unknown name or device, WeightsError for weights that are missing or do not fit.
    """
    return AudioLDM(find(source, like, fidelity, parts), device, precision, lean)


class AudioLDM(Verbs):
    """One whole system. Parts (`unet`, `vae`, `vocoder`, those of `text`) load when first used. lean: see `load`."""

    def __init__(
        self, found: Found, device: str = "auto", precision: str = "auto", lean: bool = False
    ) -> None:
        self.found = found
        self.config = found.config
        where = pick_device(device)
        self.parts = Parts(
            found, where, fast_dtype(where, precision), lean and found.variant.parameters > 0
        )
        self.codec = Codec(found, self.parts)
        self.hearing = Hearing(found, self.parts, self.codec)
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

    @property
    def text(self) -> TextParts:
        """Whatever reads prompts."""
        return self.hearing.text

    @property
    def sample_rate(self) -> int:
        """Samples a second of what comes out, in Hz."""
        return self.config.mel.rate

    @property
    def longest(self) -> float:
        """Seconds that are made in one window; longer clips are made of several."""
        return self.found.variant.longest

    def generate(
        self,
        prompt: str | Sequence[str] = "",
        *,
        sound: Sound | None = None,
        by: Ear = "",
        weight: float = 1.0,
        cues: Sequence[Cue | Mapping[str, Any]] | None = None,
        crossfade: float | None = None,
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
        loop: float | None = None,
        lufs: float | None = None,
        peak: float | None = None,
        trim: bool | None = None,
        fade_in: float | None = None,
        fade_out: float | None = None,
        stereo: float | None = None,
        rate: int | None = None,
        progress: Progress | None = None,
        on_step: OnStep | None = None,
    ) -> list[Audio]:
        """`count` clips of each prompt, in order; what the options mean is written in `Options`, None is the model's default.

        Clip k of the list is made with seed + k (of the candidates of a clip each takes the next), so that it is the clip which
        that seed makes alone.
        sound: what is to be heard like the prompt, or in its place, by its language of audio ("loa") or CLAP's vector
        ("clap"), and how much of it against the prompt; the clip is then as long as the sound, unless told otherwise. cues:
        what is heard when, each with the values of `options.Cue`, whose sound may be anything that is one.
        Raises UsageError for a wrong option, GenerationError for silence or values that are not finite.
        """
        known, lent = set(Options.model_fields) - {"prompt", "cues"}, dict[str, Samples]()
        wishes = {
            name: value for name, value in locals().items() if name in known and value is not None
        }
        if sound is not None:
            cues = [*(cues or ()), {"sound": sound, "by": by, "weight": weight}]
        if cues:
            wishes["cues"] = [self._cue(cue, lent) for cue in cues]
        if sound is not None and seconds is None:
            length = lent[wishes["cues"][-1].samples].shape[1] / self.sample_rate
            wishes["seconds"] = min(length, self.longest)
        asked = self.requests([prompt] if isinstance(prompt, str) else prompt, wishes)
        return list(
            self._clips(
                [self._checked(request, lent) for request in asked], progress, on_step, lent
            )
        )

    def requests(self, prompts: Sequence[str], wishes: dict[str, Any]) -> list[Options]:
        """A complete request for each prompt; their seeds leave room for each other's clips. Raises UsageError."""
        if not prompts:
            raise UsageError("there is no prompt; say what to hear")
        first, *rest = (
            completed(Options(prompt=prompt, **wishes), self.found) for prompt in prompts
        )
        tries = first.count * first.candidates
        return [
            first,
            *(
                later.replaced(seed=(first.seed + k * tries) % SEEDS)
                for k, later in enumerate(rest, 1)
            ),
        ]

    def stream(
        self,
        requests: Sequence[Options],
        *,
        progress: Progress | None = None,
        on_step: OnStep | None = None,
    ) -> Iterator[Audio]:
        """The clips of all requests in order, each as soon as it is finished. Wrong options raise here, before any work."""
        return self._clips(
            [self._checked(completed(request, self.found), {}) for request in requests],
            progress,
            on_step,
        )

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
        lent: Mapping[str, Samples] = MappingProxyType({}),
        **wishes: Any,
    ) -> Iterator[Audio]:
        """Clips of a sound that something was done to, each as soon as it is finished; wrong options raise here.

        sound: a file, of any rate and number of channels, an `Audio`, or samples [C, N] or [N] at `sample_rate`. wishes: as for
        `generate`. lent: sounds of cues that no file holds, by their checksums.
        Raises DataError for a file that is no sound, UsageError for what cannot be done to it.
        """
        named, name, samples = self._taken(sound)
        check(edit, samples.shape[1] / self.sample_rate, self.config.mel)
        if "seconds" in wishes:
            raise UsageError(
                f"{edit.verb} makes a sound as long as its own, and what is put to it; leave out seconds"
            )
        edit = sealed(edit, named, name)
        seconds = whole_length(edit, samples.shape[1], self.sample_rate) / self.sample_rate
        lent = {**lent, name: samples}
        wishes = {**wishes, "cues": [self._cue(cue, lent) for cue in wishes.get("cues", ())]}
        asked = self.requests([prompt], {**wishes, "edit": edit, "seconds": seconds})
        return self._clips(
            [self._checked(request, lent) for request in asked], progress, on_step, lent
        )

    def need(self, requests: Sequence[Options]) -> memory.Need:
        """About how much memory these will take, one after the other, and how much is free. Nothing is loaded for it."""
        asked, window = (
            [completed(request, self.found) for request in requests],
            self.codec.window * self.config.vae.factor,
        )
        return max(
            (memory.need(self.parts, one, window, self.batch) for one in asked),
            key=lambda need: need.gigabytes,
        )

    def resynthesise(self, sound: Samples) -> Samples:
        """Samples [1, N] or [N] at `sample_rate` once through VAE and vocoder, [1, N]: the best that this model can sound."""
        return self.codec.resynthesised(sound)

    def _clips(
        self,
        asked: Sequence[Options],
        progress: Progress | None = None,
        on_step: OnStep | None = None,
        lent: Mapping[str, Samples] = MappingProxyType({}),
    ) -> Iterator[Audio]:
        said = (
            (request.prompt, request.negative, *(cue.text for cue in request.cues))
            for request in asked
        )
        for text in dict.fromkeys(chain.from_iterable(said)):
            if not self.text.read_whole(text):
                warnings.warn(
                    f"the model reads only the beginning of {text[:40]!r}...; say it in fewer words",
                    stacklevel=2,
                )
        for text in dict.fromkeys(request.transcript for request in asked if request.transcript):
            if self.config.phonemes is not None and not g2p.fits(text, self.config.phonemes.length):
                warnings.warn(
                    f"the model says only the beginning of {text[:40]!r}...; say it in fewer words",
                    stacklevel=2,
                )
        if self.found.variant.parameters and not (needed := self.need(asked)).fits:
            warnings.warn(str(needed), stacklevel=2)
        single = [try_ for request in asked for try_ in tries(request)]
        made = memory.within(self._sounds(single, progress, on_step, lent))
        notes = {
            "licence": self.found.variant.licence,
            "fidelity": self.found.fidelity.name,
            **self.parts.way,
        }
        for request in asked:
            for _ in range(request.count):
                chances = self._sound(list(islice(made, request.candidates)))
                score, best, won = None, 0, {}
                if request.candidates > 1:
                    matches = self.similarity([samples for _, samples in chances], [request.title])[
                        :, 0
                    ]
                    best = int(matches.argmax())
                    score, won = float(matches[best]), {"chosen_of": str(request.candidates)}
                options, samples = chances[best]
                samples, side = self._passes(samples, options, lent)
                samples, rate, done = finished(samples, self.sample_rate, options, side)
                yield Audio(samples, rate, options, score, {**notes, **won, **done})

    def _passes(
        self, clip: Samples, options: Options, lent: Mapping[str, Samples]
    ) -> tuple[Samples, Samples | None]:
        """A clip [1, N], made to go round where that was asked, and for stereo a variation of it, by second passes."""

        def again(sound: Samples, edit: EditOptions) -> Samples:
            wishes, seconds = other_side(options), options.seconds
            if edit.verb == "loop":
                wishes["cues"] = turned(options.cues, seconds / 2, seconds)
            [made] = self.edit(sound, edit, options.prompt, lent=lent, **wishes)
            return made.samples

        asked = options.loop or (options.edit.seam if options.edit else 0.0)
        seam = EditOptions(verb="loop", seam=asked) if asked else None
        clip = again(clip, seam) if seam and options.loop else clip
        if not options.stereo:
            return clip, None
        side = again(clip, EditOptions(verb="vary", strength=SIDE))
        return clip, again(side, seam) if seam else side

    def _sound(self, chances: Sequence[tuple[Options, Samples]]) -> list[tuple[Options, Samples]]:
        """The chances of one clip that can be heard, finished, in [-1, 1]; GenerationError where none can."""
        good, problem = [], None
        for options, wave in chances:
            try:
                check_sound(wave)
            except GenerationError as found:
                problem = problem or found
            else:
                whole = (
                    options.edit is None and self.found.fidelity.finish
                )  # what is kept of a sound stays as it was
                finished = (
                    fade_edges(limit_peak(wave), self.sample_rate)
                    if whole
                    else limit_peak(wave, 1.0)
                )
                good.append((options, finished))
        if problem and not good:
            raise problem
        return good

    def _sounds(
        self,
        tries: Sequence[Options],
        progress: Progress | None,
        on_step: OnStep | None,
        lent: Mapping[str, Samples],
    ) -> Iterator[tuple[Options, Samples]]:
        """Each try with its samples [1, N], in order; tries that differ in prompt and seed only share a batch."""
        total, done, coming = sum(t.steps for t in tries), 0, batches(tries, self.batch)
        plan = lru_cache(maxsize=1)(
            lambda edit: edit and planned(edit, self._given(edit, lent), self.codec)
        )
        while ahead := list(islice(coming, _AHEAD if self.parts.lean else 1)):
            cues = {cue.samples: cue for batch in ahead for cue in batch[0].cues if cue.sounding}
            sounds, plans = (
                {name: self._given(cue, lent) for name, cue in cues.items()},
                [plan(b[0].edit) for b in ahead],
            )
            heard = self.hearing.voices(
                ahead, sounds, [todo.known if todo else None for todo in plans]
            )
            for batch, windows, todo in zip(ahead, heard, plans, strict=True):
                for step in self._sample(batch, windows, todo.edit if todo else None):
                    if on_step is not None:
                        on_step(step)
                    if progress is not None:
                        progress(done + (step.index + 1) * len(batch), total)
                done += sum(one.steps for one in batch)
                if self.parts.lean and batch is ahead[-1]:
                    self.parts.release("unet", "student")
                wanted = (
                    round(batch[0].seconds * self.sample_rate) if self.found.fidelity.trim else None
                )
                made = [wave[:, :wanted] for wave in self.codec.sound(step.z)]
                self.parts.rest()
                yield from zip(batch, map(todo.finish, made) if todo else made, strict=True)

    def _taken(self, sound: Sound) -> tuple[str, str, Samples]:
        """A sound's file, if it is one, its checksum and its samples [1, N] at the model's rate; what is too long is refused
        before it is decoded."""
        if isinstance(sound, str | Path):
            head = info(sound)
            check_length(float(head["seconds"]))
            if head["channels"] > 1:
                warnings.warn(
                    f"{sound} has {head['channels']} channels; their average is worked on",
                    stacklevel=2,
                )
            samples = taken(read(sound, self.sample_rate)[0])
            return str(sound), checksum(samples), samples
        if isinstance(sound, Audio):
            sound = resample(sound.samples, sound.sample_rate, self.sample_rate)
        samples = taken(sound)
        return "", checksum(samples), samples

    def _cue(self, cue: Cue | Mapping[str, Any], lent: dict[str, Samples]) -> Cue:
        """A cue whose sound may be a file, a clip or samples, which are lent from now on."""
        if isinstance(cue, Cue):
            if cue.sounding:
                lent[cue.samples or self._taken(cue.sound)[1]] = self._given(cue, lent)
            return cue
        if cue.get("sound") is None or (isinstance(cue["sound"], str) and not cue["sound"]):
            return Cue(**cue)
        named, name, samples = self._taken(cue["sound"])
        lent[name] = samples
        return Cue(**{**cue, "sound": named, "samples": name})

    def _given(self, what: EditOptions | Cue, lent: Mapping[str, Samples]) -> Samples:
        """The sound of an edit or a cue: what was lent, or from its file."""
        if what.samples in lent:
            return lent[what.samples]
        if not what.sound:
            raise UsageError("this was made of samples that no file holds; make it anew from them")
        _, now, samples = self._taken(what.sound)
        if what.samples not in ("", now):
            raise UsageError(
                f"{what.sound} is not the sound it was when this was made; bring that one back"
            )
        return samples

    def _checked(self, request: Options, lent: Mapping[str, Samples]) -> Options:
        """A request whose sounds are there and can be worked on; cues without checksums get them."""
        if request.edit is not None:
            length = self._given(request.edit, lent).shape[1]
            check(request.edit, length / self.sample_rate, self.config.mel)
            if round(request.seconds * self.sample_rate) != whole_length(
                request.edit, length, self.sample_rate
            ):
                raise UsageError(
                    f"seconds = {request.seconds:g} is not what {request.edit.verb} makes of {request.edit.sound}"
                )
        if not any(cue.sounding for cue in request.cues):
            return request
        sums = [
            {"samples": checksum(self._given(cue, lent))} if cue.sounding else {}
            for cue in request.cues
        ]
        return request.replaced(
            cues=[cue.model_copy(update=now) for cue, now in zip(request.cues, sums, strict=True)]
        )

    @torch.inference_mode()
    def _sample(
        self, batch: Sequence[Options], windows: Sequence[Sequence[WeightedConditioning]], edit: LatentEdit | None = None
    ) -> Iterator[Step]:
        """The walk of a prompt from what each window hears to the latent: guidance, sampler. All of `batch` share their
        settings."""
        options, frames = batch[0], self.codec.frames(batch[0].seconds)
        schedule = Schedule(self.config.schedule)
        network = self.network(
            options.reuse,
            "student" if options.sampler == "leaps" else "unet",
            sum(map(len, windows)),
        )
        guidance = Guidance(
            self.hearing.scale(options),
            options.parallel,
            options.rescale,
            options.guidance_start,
            options.guidance_stop,
        )
        one = lru_cache(maxsize=None)(
            lambda heard, null: guided(network, heard, null, guidance, schedule)
        )
        turns = cycle(
            [together(one, voices) for voices in windows]
        )  # windows come in order, each once a step

        def denoise(z: Tensor, t: Tensor) -> Tensor:
            return blended(
                lambda piece: next(turns)(piece, t),
                z,
                self.codec.window,
                self.codec.window // SHARED,
            )

        factor = self.config.vae.factor
        noise = Noise([t.seed for t in batch])
        z = noise((self.config.vae.latent, frames // factor, self.config.mel.bins // factor)).to(
            self.device
        )
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

    def network(
        self, reuse: int = 1, part: Literal["unet", "student"] = "unet", pieces: int = 1
    ) -> Network:
        """The UNet as guidance calls it on one walk: float32 out, and what no step changes worked out once.

        reuse: how many steps share the UNet's deep part. pieces: calls of one step, for windows and voices one after the other.
        """
        unet = (
            self.parts.caller(part) if reuse == 1 else self.parts[part]
        )  # a graph knows no every other step
        prepare, turns = (
            lru_cache(maxsize=2 * pieces)(cast("UNet", self.parts[part]).prepare),
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
