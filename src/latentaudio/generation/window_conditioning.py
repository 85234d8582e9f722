"""Builds the conditioning of every window of a clip.

A long clip is denoised in overlapping windows. Each window has its own conditioning, from the
prompt, the cues of a timeline that overlap it, and audio prompts.

Letters: B batch, C channels, K cues; T' F' latent grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..audio.ops import Samples
from ..codec import WINDOW_OVERLAP_FRACTION
from ..conditioning.base import AudioPrompt, EncoderInputs
from ..config.options import PromptCue
from ..editing.base import EditPlan
from ..models.tiling import window_starts
from ..types import Conditioning, WeightedConditioning
from .resolve import ResolvedRequest
from .system import System
from .timeline import cue_weights

SMOOTHING_FRAMES = 2
"""Latent frames to each side that `smooth_latent` averages."""


@dataclass(frozen=True)
class WindowPlan:
    """One prompt of one window, before it is encoded.

    Attributes:
        cond: Inputs of the conditional prediction.
        uncond: Inputs of the prediction that guidance moves away from.
        weight: Weight of the prompt in every latent frame [T'] of the window; None if it is alone.
    """

    cond: EncoderInputs
    uncond: EncoderInputs
    weight: Tensor | None = None


@dataclass(frozen=True)
class _Window:
    """A window of a latent: its first latent frame and its length."""

    start: int
    length: int


class WindowConditioner:
    """Encodes the prompts of batches, window by window."""

    def __init__(self, system: System) -> None:
        self.system = system

    def window_starts(self, num_frames: int) -> list[int]:
        """Return the latent frames at which the windows of `num_frames` mel frames start."""
        length = self.system.codec.max_window
        num_latent_frames = num_frames // self.system.config.vae.downsampling
        return window_starts(num_latent_frames, length, length // WINDOW_OVERLAP_FRACTION)

    @torch.inference_mode()
    def encode_windows(
        self,
        batches: Sequence[Sequence[ResolvedRequest]],
        plans: Sequence[EditPlan | None] | None = None,
    ) -> list[list[list[WeightedConditioning]]]:
        """Encode the prompts of some batches.

        Args:
            batches: Requests that share all options but prompt, negative prompt and seed.
            plans: Plan of each batch's edit, or None.

        Returns:
            For each batch, for each window of its latent, the prompts of that window.
        """
        window_plans: list[list[list[WindowPlan]]] = []
        for batch, plan in zip(batches, plans or [None] * len(batches), strict=True):
            context_audio = plan.context_audio if plan else None
            window_plans.append(self._plan_windows(batch, context_audio))
        needed: dict[EncoderInputs, None] = {}
        for windows in window_plans:
            for prompts in windows:
                for prompt in prompts:
                    needed[prompt.cond] = None
                    needed[prompt.uncond] = None
        encoded = self.system.encode(list(needed))
        result = []
        for windows in window_plans:
            result.append([self._lookup(prompts, encoded) for prompts in windows])
        return result

    def _lookup(
        self, prompts: Sequence[WindowPlan], encoded: dict[EncoderInputs, Conditioning]
    ) -> list[WeightedConditioning]:
        weighted = []
        for prompt in prompts:
            cond, uncond = encoded[prompt.cond], encoded[prompt.uncond]
            weighted.append(WeightedConditioning(cond, uncond, prompt.weight))
        return weighted

    def _plan_windows(
        self, batch: Sequence[ResolvedRequest], context_audio: AudioPrompt | None
    ) -> list[list[WindowPlan]]:
        """Return the prompts of each window of a batch."""
        options = batch[0].options
        codec, config = self.system.codec, self.system.config
        num_frames = codec.num_frames(options.duration)
        num_latent_frames = num_frames // config.vae.downsampling
        length = min(num_latent_frames, codec.max_window)
        windows = [_Window(start, length) for start in self.window_starts(num_frames)]
        if not options.timeline:
            texts = tuple(request.options.prompt for request in batch)
            plans = []
            for window in windows:
                audio_prompt = self._known_audio_window(context_audio, window)
                plans.append([self._encoder_inputs(batch, texts, window, audio_prompt)])
            return plans
        weights = cue_weights(
            options.timeline,
            options.crossfade,
            options.duration,
            num_latent_frames,
            1.0 / self._latent_frame_rate(),
        )
        return [self._plan_cues(batch, window, weights, context_audio) for window in windows]

    def _plan_cues(
        self,
        batch: Sequence[ResolvedRequest],
        window: _Window,
        weights: NDArray[np.float32],
        context_audio: AudioPrompt | None,
    ) -> list[WindowPlan]:
        """Return the cues that a window overlaps. weights: of every cue and frame, [K, T']."""
        plans: list[WindowPlan] = []
        for cue, weight in zip(batch[0].options.timeline, weights, strict=True):
            in_window = torch.from_numpy(weight[window.start : window.start + window.length])
            if not in_window.any():
                continue
            texts = tuple(cue.text or request.options.prompt for request in batch)
            first_frame = int(np.flatnonzero(weight)[0])
            offset = round(cue.audio_prompt_offset * self._latent_frame_rate())
            position = window.start - first_frame + offset
            audio_prompt = self._audio_prompt_window(batch[0], cue, position, window.length)
            if audio_prompt is None:
                audio_prompt = self._known_audio_window(context_audio, window)
            plan = self._encoder_inputs(batch, texts, window, audio_prompt)
            plans.append(replace(plan, weight=in_window))
        if len(plans) == 1:
            return [replace(plans[0], weight=None)]
        return plans

    def _audio_prompt_window(
        self, request: ResolvedRequest, cue: PromptCue, position: int, length: int
    ) -> AudioPrompt | None:
        """Return the audio prompt of a cue for a window, or None if it has none.

        Args:
            request: The request that holds the audio.
            cue: The cue.
            position: Latent frames between the start of the cue and that of the window. Audio that
                has ended starts again.
            length: Latent frames of the window.
        """
        if not cue.has_audio:
            return None
        assert cue.audio_prompt_mode, "resolving a request sets the mode of its audio prompts"
        mel = self.system.config.mel
        sha256 = cue.audio_prompt_sha256
        samples = request.audio_prompts[sha256][0]
        weight = cue.audio_prompt_weight
        if cue.audio_prompt_mode == "clap":
            return AudioPrompt(sha256, "clap", samples, mel.sample_rate, weight)
        hop = mel.hop_length * self.system.config.vae.downsampling
        indices = np.arange(position * hop, (position + length) * hop)
        gain = np.float32(self.system.codec.source_gain(samples))
        window = gain * np.take(samples, indices, mode="wrap")
        prior_fn = None
        if self.system.config.latent_prior is not None:
            prior_fn = partial(self._prior_from_audio, window, (False,) * length)
        name = f"{sha256} {position}"
        return AudioPrompt(name, "loa", window, mel.sample_rate, weight, prior_fn=prior_fn)

    def _known_audio_window(
        self, context_audio: AudioPrompt | None, window: _Window
    ) -> AudioPrompt | None:
        """Return the kept part of an edit's source for a window.

        None if there is no source, or if the window keeps no whole token of it.
        """
        if context_audio is None or context_audio.mask is None:
            return None
        config = self.system.config
        factor = config.vae.downsampling
        hop = config.mel.hop_length * factor
        frame_mask = context_audio.mask
        tokens_per_row = self._tokens_per_row()
        frames_per_row = self._frames_per_token_row() // factor
        num_rows = self.num_loa_tokens(window.length * factor) // tokens_per_row
        token_mask: list[bool] = []
        for row in range(num_rows):
            start = window.start + row * frames_per_row
            end = start + frames_per_row
            is_generated = any(frame_mask[start:end]) or end > len(frame_mask)
            token_mask += [is_generated] * tokens_per_row
        if all(token_mask):
            return None
        end = window.start + window.length
        samples = context_audio.samples[window.start * hop : end * hop]
        window_mask = frame_mask[window.start : end]
        prior_fn = None
        if config.latent_prior is not None:
            prior_fn = partial(self._prior_from_audio, samples, window_mask)
        # the prior depends on the mask of frames, not only on whole tokens
        bits = "".join("10"[flag] for flag in window_mask)
        return replace(
            context_audio,
            name=f"{context_audio.name} {window.start} {bits}",
            samples=samples,
            mask=tuple(token_mask),
            weight=0.0,
            prior_fn=prior_fn,
        )

    def _prior_from_audio(self, samples: Samples, mask: Sequence[bool]) -> Tensor:
        """Return a prior [1, C, T', F'] from audio: its latent without detail.

        Frames of the mask, which are generated, get the mean of the others.
        """
        z = self.system.codec.encode(samples, len(mask) * self.system.config.vae.downsampling)
        is_kept = ~torch.tensor(mask, device=z.device)
        mean = z[:, :, is_kept].mean(dim=2, keepdim=True)
        return torch.where(is_kept[:, None], smooth_latent(z), mean)

    def _encoder_inputs(
        self,
        batch: Sequence[ResolvedRequest],
        texts: tuple[str, ...],
        window: _Window,
        audio_prompt: AudioPrompt | None,
    ) -> WindowPlan:
        """Return the encoder inputs of a batch's texts and of its negative prompts.

        Both are the same without guidance.
        """
        options = batch[0].options
        num_tokens = self.num_loa_tokens(window.length * self.system.config.vae.downsampling)
        transcripts = None
        if options.transcript:  # all of a batch have the same
            transcripts = tuple(request.options.transcript for request in batch)
        has_words = any(text.strip() for text in texts)
        if audio_prompt is None and transcripts is None and not has_words:  # edit without a prompt
            empty = EncoderInputs(texts, num_tokens, window.length, is_unconditional=True)
            return WindowPlan(empty, empty)
        cond = EncoderInputs(
            texts,
            num_tokens,
            window.length,
            transcripts,
            clap_dropout=tuple(self.clap_dropout_mask(batch)),
            audio_prompt=audio_prompt,
        )
        if batch[0].guidance_scale == 1.0:
            return WindowPlan(cond, cond)
        t5_length = None
        tokenizer = self.system.encoders.tokenizers.get("t5")
        if self.system.reference.pad_uncond and tokenizer is not None:
            t5_length = tokenizer(texts)[0].shape[1]
        negative_prompts = tuple(request.options.negative_prompt for request in batch)
        uncond = EncoderInputs(
            negative_prompts, num_tokens, window.length, t5_length=t5_length, is_unconditional=True
        )
        return WindowPlan(cond, uncond)

    def clap_dropout_mask(self, batch: Sequence[ResolvedRequest]) -> list[bool]:
        """Return which prompts CLAP gets as the empty text, drawn from their seeds.

        The original code drops them by chance (numerics: reference differences); others none.
        """
        probability = self.system.reference.clap_dropout_prob
        mask = []
        for request in batch:
            generator = torch.Generator().manual_seed(request.options.seed)
            mask.append(probability > float(torch.rand(1, generator=generator)))
        return mask

    def num_loa_tokens(self, num_frames: int) -> int:
        """Return the length of the language of audio of `num_frames` mel frames.

        It is constant for a system without an AudioMAE.
        """
        audiomae, translator = self.system.config.audiomae, self.system.config.translator
        if audiomae is None or translator is None:
            return translator.num_tokens if translator else 0
        return math.ceil(num_frames / self._frames_per_token_row()) * self._tokens_per_row()

    def _latent_frame_rate(self) -> float:
        mel = self.system.config.mel
        return mel.sample_rate / mel.hop_length / self.system.config.vae.downsampling

    def _frames_per_token_row(self) -> int:
        """Return the mel frames that one row of tokens covers."""
        audiomae, translator = self.system.config.audiomae, self.system.config.translator
        assert audiomae is not None and translator is not None
        return audiomae.patch_size * translator.time_pool

    def _tokens_per_row(self) -> int:
        audiomae, translator = self.system.config.audiomae, self.system.config.translator
        assert audiomae is not None and translator is not None
        return audiomae.n_mels // audiomae.patch_size // translator.freq_pool


def smooth_latent(z: Tensor) -> Tensor:
    """Average a latent [B, C, T', F'] over 5 frames (about 0.1 s) with a Hann window."""
    window = torch.hann_window(2 * SMOOTHING_FRAMES + 3, periodic=False)[1:-1].to(z)
    rows = z.transpose(2, 3).reshape(-1, 1, z.shape[2])
    padding = (SMOOTHING_FRAMES, SMOOTHING_FRAMES)
    rows = torch.nn.functional.pad(rows, padding, mode="replicate")
    mean = torch.nn.functional.conv1d(rows, window.view(1, 1, -1) / window.sum())
    return mean.view(*z.shape[:2], z.shape[3], z.shape[2]).transpose(2, 3)
