"""Implementations whose stages are timed, behind one interface.

Letters: B batch, C channels, T latent frames, F latent bins, L tokens, D size of a token.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ..conditioning.clap import clap_text_embeds
from ..conditioning.t5 import t5_states
from ..config.architecture import ModelConfig
from ..config.presets import PresetName
from ..diffusion.guidance import Guidance, cfg_denoiser
from ..diffusion.samplers.ddim import ddim
from ..diffusion.schedule import Schedule
from ..generation.denoise import PreparedUNet
from ..pipeline import AudioLDM
from ..types import Conditioning, Context, Latent
from .random_weights import random_model

PROMPT = "A dog barks twice in the distance while heavy rain falls on a tin roof and wind blows"
GUIDANCE_SCALE = 3.5
NUM_TOKENS = 20  # of each context of the UNet: about the length of the prompt
_TIMESTEP = 500  # any: the cost of a step does not depend on it


class Implementation(Protocol):
    """An implementation under test. Each method is one stage of a clip."""

    name: str

    def encode_text(self) -> None:
        """Encode the prompt and the empty prompt."""

    def generate_loa(self) -> None:
        """Generate the language of audio for the prompt and the empty prompt."""

    def denoise_step(self) -> None:
        """Run one guided denoising step."""

    def decode_latent(self) -> None:
        """Decode the latent to a mel spectrogram."""

    def vocode(self) -> None:
        """Convert the mel spectrogram to samples."""

    def generate_clip(self, num_steps: int) -> None:
        """Run DDIM from noise to samples, for a prompt that is encoded already."""


class LatentAudioImplementation:
    """This library in one precision.

    Attributes:
        name: name of the column in the table.
        model: the model with random weights.
        num_frames: latent frames of the clip.
    """

    def __init__(
        self,
        model: str,
        precision: str,
        batch_size: int,
        duration: float,
        device: str = "cpu",
        use_cuda_graphs: bool = False,
    ) -> None:
        """Build a model with random weights.

        Args:
            model: name of the model in the registry.
            precision: "fp32" or "bf16".
            batch_size: clips at once.
            duration: duration of the clips in seconds.
            device: cpu or cuda.
            use_cuda_graphs: run the UNet as a CUDA graph.
        """
        self.name = f"latentaudio {precision}" + (", CUDA graphs" if use_cuda_graphs else "")
        self.model = AudioLDM(random_model(model), device, precision)
        self.model.components.use_cuda_graphs = use_cuda_graphs
        if self.model.device.type != "cpu":  # a CPU computes the clips of a batch one by one
            self.model.batch_size = batch_size
        config = self.model.config
        self.num_frames = self.model.codec.num_frames(duration) // config.vae.downsampling
        self._prompts = [PROMPT] * batch_size
        self._duration = duration
        generator = torch.Generator().manual_seed(0)
        shape = latent_shape(config, batch_size, self.num_frames)
        self._z = torch.randn(shape, generator=generator).to(self.model.device)
        self._mel: Tensor | None = None
        cond = random_conditioning(config, self._z)
        with torch.inference_mode():
            self._denoise = cfg_denoiser(
                PreparedUNet(self.model.components),
                cond,
                cond.map(torch.zeros_like),
                Guidance(GUIDANCE_SCALE),
                Schedule(config.schedule),
            )

    @torch.inference_mode()
    def encode_text(self) -> None:
        """Encode the prompt and the empty prompt."""
        for texts in (self._prompts, [""] * len(self._prompts)):
            if self.model.config.clap is not None:
                clap_text_embeds(self.model.encoders, texts)
            if self.model.config.t5 is not None:
                t5_states(self.model.encoders, texts)

    @torch.inference_mode()
    def generate_loa(self) -> None:
        """Generate the language of audio for the prompt and the empty prompt."""
        translator = self.model.encoders.translator
        config = self.model.config.translator
        if translator is None or config is None:
            return
        clap_dim, t5_dim = config.source_dims
        batch_size = len(self._z)
        sources = [
            Context.unmasked(torch.zeros(batch_size, 1, clap_dim).to(self._z)),
            Context.unmasked(torch.zeros(batch_size, NUM_TOKENS, t5_dim).to(self._z)),
        ]
        for _ in range(2):
            translator.generate(sources, config.num_tokens)

    @torch.inference_mode()
    def denoise_step(self) -> None:
        """Run one guided denoising step."""
        t = torch.full((len(self._z),), _TIMESTEP, device=self._z.device)
        self._denoise(self._z, t)

    @torch.inference_mode()
    def decode_latent(self) -> None:
        """Decode the latent to a mel spectrogram."""
        self._mel = self.model.vae.decode(Latent(self._z))

    @torch.inference_mode()
    def vocode(self) -> None:
        """Convert the mel spectrogram of `decode_latent` to samples."""
        assert self._mel is not None, "call decode_latent first"
        self.model.vocoder(self._mel.float())

    @torch.inference_mode()
    def generate_clip(self, num_steps: int) -> None:
        """Run DDIM from noise to samples, for a prompt that is encoded already."""
        schedule = Schedule(self.model.config.schedule)
        timesteps = schedule.timesteps(num_steps, "leading")
        *_, last = ddim(self._denoise, self._z, schedule, timesteps)
        self.model.codec.decode(last.z)

    def generate_with_preset(self, preset: PresetName) -> None:
        """Generate clips as a user does, with prompts that are not in the cache."""
        self.model.components.version += 1  # invalidates the cache of encoded prompts
        self.model.generate(self._prompts, duration=self._duration, preset=preset, seed=0)


def latent_shape(config: ModelConfig, batch_size: int, num_frames: int) -> tuple[int, ...]:
    """Return the shape [B, C, T, F] of a latent."""
    num_bins = config.mel.n_mels // config.vae.downsampling
    return (batch_size, config.vae.latent_channels, num_frames, num_bins)


def random_conditioning(config: ModelConfig, z: Tensor) -> Conditioning:
    """Return a random conditioning of the UNet for latents z [B, C, T, F], on their device."""
    batch_size = len(z)
    film = None
    if config.unet.film_dim:
        film = torch.randn(batch_size, config.unet.film_dim).to(z.device)
    contexts = []
    for dim in config.unet.cross_attention_dims:
        tokens = torch.randn(batch_size, NUM_TOKENS, dim).to(z.device)
        contexts.append(Context.unmasked(tokens))
    prior = torch.zeros_like(z) if config.unet.use_prior else None
    return Conditioning(film, tuple(contexts), prior)
