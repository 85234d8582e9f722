"""Arguments and results of diffusers' pipelines: prompts, embeddings, callbacks, noise, output.

Letters: B prompts, N tokens, n tokens of the language of audio, D width.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import UsageError
from ..types import Conditioning, Context, Step


class AudioPipelineOutput(OrderedDict[str, Any]):
    """The result of a call: a mapping, whose value is an attribute and an item by number, too.

    Attributes:
        audios: Samples [B, samples], or latents.
    """

    def __init__(self, audios: Any) -> None:
        super().__init__(audios=audios)
        self.audios = audios

    def __getitem__(self, key: int | str | slice) -> Any:
        if isinstance(key, str):
            return super().__getitem__(key)
        return self.to_tuple()[key]

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the values."""
        return (self.audios,)


@dataclass
class StepCallbacks:
    """Functions of the caller that run at every step.

    Attributes:
        callback: Old form of diffusers: called with (index, timestep, latents).
        interval: Steps between two calls of `callback`.
        on_step_end: New form: called with (pipeline, index, timestep, {"latents": latents}). It
            may return other latents.
    """

    callback: Callable[[int, Any, Tensor], None] | None = None
    interval: int = 1
    on_step_end: Callable[[Any, int, Any, dict[str, Any]], dict[str, Any] | None] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.interval, int) or self.interval < 1:
            raise UsageError(f"callback_steps = {self.interval} must be a whole number, 1 or more")

    def notify(self, pipeline: Any, step: Step) -> None:
        """Call the functions after a step; returned latents replace the sampler's.

        Args:
            pipeline: The pipeline, for the new form.
            step: The step.
        """
        if self.callback is not None and step.index % self.interval == 0:
            self.callback(step.index, torch.tensor(step.t), step.z)
        if self.on_step_end is None:
            return
        timestep = torch.tensor(step.t)
        changed = self.on_step_end(pipeline, step.index, timestep, {"latents": step.z}) or {}
        latents = changed.get("latents")
        if latents is not None and latents is not step.z:
            step.z.copy_(latents)


@dataclass(frozen=True)
class PromptEmbeds:
    """Embeddings that the caller passes instead of prompts.

    Attributes:
        states: States of T5 or of phonemes [B, N, D].
        generated: Language of audio [B, n, D].
        mask: Attention mask of `states` [B, N].
        negative_states: As `states`, to guide away from.
        negative_generated: As `generated`, to guide away from.
        negative_mask: As `mask`.
    """

    states: Tensor | None = None
    generated: Tensor | None = None
    mask: Tensor | None = None
    negative_states: Tensor | None = None
    negative_generated: Tensor | None = None
    negative_mask: Tensor | None = None

    def positive(self) -> Conditioning:
        """Return the conditioning to guide to."""
        return _conditioning(self.states, self.generated, self.mask, "")

    def negative(self) -> Conditioning:
        """Return the conditioning to guide away from."""
        return _conditioning(
            self.negative_states, self.negative_generated, self.negative_mask, "negative_"
        )


def _conditioning(
    states: Tensor | None, generated: Tensor | None, mask: Tensor | None, prefix: str
) -> Conditioning:
    if states is None or generated is None:
        raise UsageError(
            f"{prefix}prompt_embeds and {prefix}generated_prompt_embeds belong together; pass both"
        )
    context = Context.unmasked(states) if mask is None else Context(states, mask)
    return Conditioning(None, (Context.unmasked(generated), context))


def prompt_list(prompt: str | list[str] | None, embeds: Tensor | None) -> list[str] | None:
    """Return the prompts as a list, or None if embeddings replace them.

    Args:
        prompt: One prompt or several.
        embeds: Embeddings of the caller.

    Raises:
        UsageError: Both or neither are given, or a prompt is not a text.
    """
    if (prompt is None) == (embeds is None):
        raise UsageError("pass either prompt or prompt_embeds, and not both")
    if prompt is None:
        return None
    prompts = [prompt] if isinstance(prompt, str) else prompt
    is_valid = isinstance(prompts, list | tuple) and all(isinstance(p, str) for p in prompts)
    if not is_valid or not prompts:
        raise UsageError(f"prompt must be a text or a list of texts, not {prompt!r:.60}")
    return list(prompts)


def negative_prompt_list(
    prompts: list[str] | None, prompt: Any, negative_prompt: Any, num_embeds: int
) -> list[str]:
    """Return a negative prompt for every prompt.

    Args:
        prompts: All prompts, None if embeddings replace them.
        prompt: The prompt as it was passed.
        negative_prompt: The negative prompt as it was passed.
        num_embeds: Number of embeddings, if they replace prompts.

    Raises:
        UsageError: Their number or form differs from that of the prompts.
    """
    count = num_embeds if prompts is None else len(prompts)
    if negative_prompt is None:
        return [""] * count
    if prompts is not None and type(prompt) is not type(negative_prompt):
        raise UsageError(
            "negative_prompt must be a text if prompt is a text, or a list if prompt is a list"
        )
    is_text = isinstance(negative_prompt, str)
    negative_prompts = [negative_prompt] if is_text else list(negative_prompt)
    if len(negative_prompts) != count:
        raise UsageError(
            f"there are {len(negative_prompts)} negative prompts for {count} prompts; "
            f"pass one for each"
        )
    return negative_prompts


def draw_noise(shape: Sequence[int], generator: Any) -> Tensor:
    """Return normal noise as diffusers draws it, on the generator's device.

    Args:
        shape: Its shape; the first axis is the batch.
        generator: One generator for the whole batch, a list with one for each clip, or None.

    Raises:
        UsageError: The list has another length than the batch.
    """
    if isinstance(generator, list):
        if len(generator) != shape[0]:
            raise UsageError(
                f"there are {len(generator)} generators for {shape[0]} clips; pass one for each"
            )
        return torch.cat([draw_noise((1, *shape[1:]), single) for single in generator])
    device = "cpu" if generator is None else generator.device
    return torch.randn(tuple(shape), generator=generator, device=device)
