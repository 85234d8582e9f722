"""AudioLDMPipeline of diffusers, over this package."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..conditioning import encode_prompts, encode_unconditional
from ..types import Conditioning
from .arguments import AudioPipelineOutput, StepCallbacks, negative_prompt_list, prompt_list
from .base_pipeline import BasePipeline, SamplingArguments


class AudioLDMPipeline(BasePipeline):
    """diffusers' pipeline of AudioLDM 1."""

    component_names = ("vae", "text_encoder", "tokenizer", "unet", "scheduler", "vocoder")
    is_audioldm2 = False

    def __init__(
        self,
        vae: Any = None,
        text_encoder: Any = None,
        tokenizer: Any = None,
        unet: Any = None,
        scheduler: Any = None,
        vocoder: Any = None,
    ) -> None:
        """Make a pipeline of modules of diffusers and transformers, as in diffusers."""
        values = (vae, text_encoder, tokenizer, unet, scheduler, vocoder)
        super().__init__(None, dict(zip(self.component_names, values, strict=True)))

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str] | None = None,
        audio_length_in_s: float | None = None,
        num_inference_steps: int = 10,
        guidance_scale: float = 2.5,
        negative_prompt: str | list[str] | None = None,
        num_waveforms_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Any = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        return_dict: bool = True,
        callback: Callable[[int, Any, Tensor], None] | None = None,
        callback_steps: int = 1,
        cross_attention_kwargs: Mapping[str, Any] | None = None,
        output_type: str = "np",
        callback_on_step_end: Any = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> Any:
        """Return audios [B * num_waveforms_per_prompt, samples] for B prompts, as in diffusers."""
        prompts = prompt_list(prompt, prompt_embeds)
        num_embeds = 0 if prompt_embeds is None else len(prompt_embeds)
        negative_prompts = negative_prompt_list(prompts, prompt, negative_prompt, num_embeds)
        cond, uncond = self._encode(
            prompts, negative_prompts, prompt_embeds, negative_prompt_embeds
        )
        cond = self._repeat(cond, num_waveforms_per_prompt)
        uncond = self._repeat(uncond, num_waveforms_per_prompt)
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
        audios = self._format_output(z, num_samples, output_type, prompts, num_waveforms_per_prompt)
        return AudioPipelineOutput(audios) if return_dict else (audios,)

    def _encode(
        self,
        prompts: list[str] | None,
        negative_prompts: list[str],
        prompt_embeds: Tensor | None,
        negative_prompt_embeds: Tensor | None,
    ) -> tuple[Conditioning, Conditioning]:
        """Return the conditioning of the prompts and that of the negative prompts."""
        encoders = self.system.encoders
        if prompts is None:
            cond = Conditioning(prompt_embeds)
        else:
            cond = encode_prompts(encoders, prompts, 0)
        if negative_prompt_embeds is not None:
            return cond, Conditioning(negative_prompt_embeds)
        uncond = encode_unconditional(
            encoders, len(negative_prompts), 0, negative_prompts=negative_prompts
        )
        return cond, uncond
