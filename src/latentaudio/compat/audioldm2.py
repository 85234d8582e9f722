"""AudioLDM2Pipeline of diffusers, over this package.

Letters: B prompts times waveforms, N tokens, n tokens of the language of audio, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ..conditioning import encode_prompts, encode_unconditional
from ..conditioning.phonemes import empty_transcripts, encode_transcripts
from ..errors import UsageError
from ..types import Conditioning, cat_conditionings
from .arguments import (
    AudioPipelineOutput,
    PromptEmbeds,
    StepCallbacks,
    negative_prompt_list,
    prompt_list,
)
from .base_pipeline import BasePipeline, SamplingArguments

TokenTensors: TypeAlias = tuple[Tensor | None, Tensor | None, Tensor]
"""(T5's states [B, N, D] or None, their mask [B, N] or None, language of audio [B, n, D])."""


class AudioLDM2Pipeline(BasePipeline):
    """diffusers' pipeline of AudioLDM 2."""

    component_names = (
        "vae",
        "text_encoder",
        "text_encoder_2",
        "projection_model",
        "language_model",
        "tokenizer",
        "tokenizer_2",
        "feature_extractor",
        "unet",
        "scheduler",
        "vocoder",
    )
    is_audioldm2 = True

    def __init__(
        self,
        vae: Any = None,
        text_encoder: Any = None,
        text_encoder_2: Any = None,
        projection_model: Any = None,
        language_model: Any = None,
        tokenizer: Any = None,
        tokenizer_2: Any = None,
        feature_extractor: Any = None,
        unet: Any = None,
        scheduler: Any = None,
        vocoder: Any = None,
    ) -> None:
        """Make a pipeline of modules of diffusers and transformers, as in diffusers."""
        values = (
            vae,
            text_encoder,
            text_encoder_2,
            projection_model,
            language_model,
            tokenizer,
            tokenizer_2,
            feature_extractor,
            unet,
            scheduler,
            vocoder,
        )
        super().__init__(None, dict(zip(self.component_names, values, strict=True)))

    @torch.no_grad()
    def generate_language_model(
        self, inputs_embeds: Tensor, max_new_tokens: int = 8, attention_mask: Tensor | None = None
    ) -> Tensor:
        """Return the language of audio [B, n, D] that the language model appends to a sequence.

        Args:
            inputs_embeds: The sequence [B, N, D], as the projection model makes it.
            max_new_tokens: Number n of vectors.
            attention_mask: 1 for vectors of the sequence that count [B, N].
        """
        sequence = inputs_embeds
        mask = attention_mask
        if mask is None:
            mask = torch.ones(sequence.shape[:2], dtype=torch.long, device=sequence.device)
        model = self.language_model
        for _ in range(max_new_tokens):
            result = model(inputs_embeds=sequence, attention_mask=mask, output_hidden_states=True)
            # the hidden state of the last position is the next vector
            sequence = torch.cat([sequence, result.hidden_states[-1][:, -1:]], dim=1)
            mask = torch.nn.functional.pad(mask, (0, 1), value=1)
        return sequence[:, -max_new_tokens:]

    def encode_prompt(
        self,
        prompt: str | list[str] | None,
        device: Any = None,
        num_waveforms_per_prompt: int = 1,
        do_classifier_free_guidance: bool = True,
        transcription: str | list[str] | None = None,
        negative_prompt: str | list[str] | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        generated_prompt_embeds: Tensor | None = None,
        negative_generated_prompt_embeds: Tensor | None = None,
        attention_mask: Tensor | None = None,
        negative_attention_mask: Tensor | None = None,
        max_new_tokens: int | None = None,
    ) -> TokenTensors:
        """Return (prompt_embeds, attention_mask, generated_prompt_embeds), as in diffusers.

        With guidance they are [negative, positive]. prompt_embeds of speech models contain the
        positions of phonemes already; no UNet reads them.
        """
        embeds = PromptEmbeds(
            prompt_embeds,
            generated_prompt_embeds,
            attention_mask,
            negative_prompt_embeds,
            negative_generated_prompt_embeds,
            negative_attention_mask,
        )
        has_guidance = do_classifier_free_guidance
        cond, uncond = self._encode(
            prompt, transcription, negative_prompt, max_new_tokens, embeds, has_guidance
        )
        conditioning = self._repeat(cond, num_waveforms_per_prompt)
        if has_guidance:
            negative = self._repeat(uncond, num_waveforms_per_prompt)
            conditioning = cat_conditionings(negative, conditioning)
        generated = conditioning.contexts[0].tokens
        if len(conditioning.contexts) == 1:
            return None, None, generated
        states = conditioning.contexts[1]
        return states.tokens, states.mask, generated

    @torch.no_grad()
    def _encode(
        self,
        prompt: str | list[str] | None,
        transcription: str | list[str] | None,
        negative_prompt: str | list[str] | None,
        max_new_tokens: int | None,
        embeds: PromptEmbeds,
        has_guidance: bool,
    ) -> tuple[Conditioning, Conditioning]:
        """Return the positive and the negative conditioning of B prompts.

        Those of speech have the states of phonemes behind the language of audio.
        """
        encoders = self.system.encoders
        translator = self.system.config.translator
        is_speech = self.system.config.phonemes is not None
        num_tokens = max_new_tokens or (translator.num_tokens if translator else 0)
        prompts = prompt_list(prompt, embeds.states)
        if prompts is None:
            cond = embeds.positive()
        elif is_speech:
            transcripts = _transcript_list(transcription, len(prompts))
            cond = encode_prompts(encoders, prompts, num_tokens, transcripts=transcripts)
            states = encode_transcripts(encoders, transcripts)
            cond = replace(cond, contexts=(*cond.contexts, states))
        else:
            cond = encode_prompts(encoders, prompts, num_tokens)
        num_embeds = len(cond.contexts[0].tokens)
        negative_prompts = negative_prompt_list(prompts, prompt, negative_prompt, num_embeds)
        if not has_guidance:
            return cond, cond
        if embeds.negative_states is not None:
            return cond, embeds.negative()
        t5_length = cond.contexts[1].tokens.shape[1] if len(cond.contexts) > 1 else None
        count = len(negative_prompts)
        uncond = encode_unconditional(
            encoders,
            count,
            num_tokens,
            negative_prompts=negative_prompts,
            t5_length=t5_length,
        )
        if is_speech:
            states = empty_transcripts(encoders, count)
            uncond = replace(uncond, contexts=(*uncond.contexts, states))
        return cond, uncond

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str] | None = None,
        transcription: str | list[str] | None = None,
        audio_length_in_s: float | None = None,
        num_inference_steps: int = 200,
        guidance_scale: float = 3.5,
        negative_prompt: str | list[str] | None = None,
        num_waveforms_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Any = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        generated_prompt_embeds: Tensor | None = None,
        negative_generated_prompt_embeds: Tensor | None = None,
        attention_mask: Tensor | None = None,
        negative_attention_mask: Tensor | None = None,
        max_new_tokens: int | None = None,
        return_dict: bool = True,
        callback: Callable[[int, Any, Tensor], None] | None = None,
        callback_steps: int = 1,
        cross_attention_kwargs: Mapping[str, Any] | None = None,
        output_type: str = "np",
        callback_on_step_end: Any = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> Any:
        """Return audios [B * num_waveforms_per_prompt, samples] for B prompts, as in diffusers."""
        embeds = PromptEmbeds(
            prompt_embeds,
            generated_prompt_embeds,
            attention_mask,
            negative_prompt_embeds,
            negative_generated_prompt_embeds,
            negative_attention_mask,
        )
        cond, uncond = self._encode(
            prompt, transcription, negative_prompt, max_new_tokens, embeds, guidance_scale > 1
        )
        cond = self._unet_inputs(cond, num_waveforms_per_prompt)
        uncond = self._unet_inputs(uncond, num_waveforms_per_prompt)
        callbacks = StepCallbacks(callback, callback_steps, callback_on_step_end)
        arguments = SamplingArguments(
            audio_length_in_s,
            num_inference_steps,
            guidance_scale,
            eta,
            generator,
            latents,
            callbacks,
        )
        z, num_samples = self._sample(cond, uncond, arguments)
        prompts = prompt_list(prompt, prompt_embeds)
        audios = self._format_output(z, num_samples, output_type, prompts, num_waveforms_per_prompt)
        return AudioPipelineOutput(audios) if return_dict else (audios,)

    def _unet_inputs(self, conditioning: Conditioning, num_waveforms: int) -> Conditioning:
        """Return a conditioning repeated, without contexts that the UNet does not read."""
        num_contexts = len(self.system.config.unet.cross_attention_dims)
        contexts = conditioning.contexts[:num_contexts]
        return self._repeat(replace(conditioning, contexts=contexts), num_waveforms)


def _transcript_list(transcription: str | list[str] | None, num_prompts: int) -> list[str]:
    """Return a transcript for every prompt."""
    if isinstance(transcription, str):
        return [transcription] * num_prompts
    if transcription is None or len(transcription) != num_prompts:
        raise UsageError(
            f"this is a speech model; pass transcription= with a text for each of "
            f"{num_prompts} prompts"
        )
    return transcription
