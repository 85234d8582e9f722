"""diffusers' AudioLDM 2 with random weights of published shapes, to be timed beside ours.

Needs diffusers, which is imported late.

Letters: B batch, C channels, T latent frames, F latent bins, M mel frames, L tokens.
"""

from __future__ import annotations

from typing import Any

import torch

from ..config.architecture import ModelConfig
from ..loaders.diffusers_format import component_configs
from .implementations import GUIDANCE_SCALE, latent_shape

NUM_SCHEDULE_STEPS = 200  # their default
NUM_LOA_TOKENS = 8
CLAP_TEXT_LENGTH = 512  # diffusers pads CLAP's input to it
CLAP_PAD_ID = 1
_MODULES = (
    "unet", "vae", "vocoder", "language_model", "projection_model",
    "text_encoder", "text_encoder_2",
)  # fmt: skip


class DiffusersImplementation:
    """diffusers in its documented use: DDIM, guidance 3.5, float32 on a CPU, float16 on a GPU.

    Attributes:
        name: name of the column in the table.
    """

    name = "diffusers"

    def __init__(
        self,
        config: ModelConfig,
        batch_size: int,
        num_frames: int,
        num_tokens: int,
        device: str = "cpu",
    ) -> None:
        """Build their pipeline with random weights.

        Args:
            config: shapes of the model.
            batch_size: clips at once.
            num_frames: latent frames of the clip.
            num_tokens: tokens of the prompt.
            device: cpu or cuda.
        """
        torch.manual_seed(0)
        dtype = torch.float16 if device.startswith("cuda") else torch.float32
        self._pipe = _build_pipeline(config)
        self._pipe.set_progress_bar_config(disable=True)
        # The head for words is not used, but costs time in every step of the language model.
        self._pipe.language_model.lm_head = torch.nn.Identity()
        for name in _MODULES:
            module = getattr(self._pipe, name).eval().requires_grad_(False).to(device)
            if dtype == torch.float16:
                module.half()

        loa_dim, t5_dim = config.unet.cross_attention_dims
        mel_frames = num_frames * config.vae.downsampling
        self._duration = mel_frames * config.mel.hop_length / config.mel.sample_rate
        z_shape = latent_shape(config, batch_size, num_frames)
        mel_shape = (batch_size, mel_frames, config.mel.n_mels)
        with torch.device(device):
            self._ids = torch.randint(3, 1000, (batch_size, num_tokens))
            self._mask = torch.ones(batch_size, num_tokens, dtype=torch.long)
            self._z = torch.randn(z_shape, dtype=dtype)
            self._mel = torch.randn(mel_shape, dtype=dtype)
            self._loa = torch.randn(batch_size, NUM_LOA_TOKENS, loa_dim, dtype=dtype)
            self._states = torch.randn(batch_size, num_tokens, t5_dim, dtype=dtype)
            # CLAP's token, the tokens of the prompt, and start and end tokens of both.
            self._projected = torch.randn(batch_size, num_tokens + 5, loa_dim, dtype=dtype)
        self._pipe.scheduler.set_timesteps(NUM_SCHEDULE_STEPS, device=device)

    @torch.no_grad()
    def encode_text(self) -> None:
        """Encode the prompt and the empty prompt with CLAP (padded to 512 tokens) and T5."""
        missing = CLAP_TEXT_LENGTH - self._ids.shape[1]
        padded_ids = torch.nn.functional.pad(self._ids, (0, missing), value=CLAP_PAD_ID)
        padded_mask = torch.nn.functional.pad(self._mask, (0, missing), value=0)
        for _ in range(2):
            self._pipe.text_encoder.get_text_features(padded_ids, attention_mask=padded_mask)
            self._pipe.text_encoder_2(self._ids, attention_mask=self._mask)

    @torch.no_grad()
    def generate_loa(self) -> None:
        """Generate 8 vectors with GPT-2 for the prompt and the empty prompt."""
        shape = self._projected.shape[:2]
        mask = torch.ones(shape, dtype=torch.long, device=self._projected.device)
        for _ in range(2):
            self._pipe.generate_language_model(
                self._projected, attention_mask=mask, max_new_tokens=NUM_LOA_TOKENS
            )

    @torch.no_grad()
    def denoise_step(self) -> None:
        """Run one guided DDIM step, both halves of the guidance in one batch."""
        t = self._pipe.scheduler.timesteps[0]
        prediction = self._pipe.unet(
            torch.cat([self._z, self._z]),
            t,
            encoder_hidden_states=torch.cat([self._loa, self._loa]),
            encoder_hidden_states_1=torch.cat([self._states, self._states]),
            encoder_attention_mask_1=torch.cat([self._mask, self._mask]),
        ).sample
        uncond, cond = prediction.chunk(2)
        self._pipe.scheduler.step(uncond + GUIDANCE_SCALE * (cond - uncond), t, self._z)

    @torch.no_grad()
    def decode_latent(self) -> None:
        """Decode the latent to a mel spectrogram."""
        self._pipe.vae.decode(self._z / self._pipe.vae.config.scaling_factor)

    @torch.no_grad()
    def vocode(self) -> None:
        """Convert the mel spectrogram to samples."""
        self._pipe.vocoder(self._mel)

    def generate_clip(self, num_steps: int) -> None:
        """Call their pipeline, for a prompt that is encoded already."""
        self._pipe(
            prompt_embeds=self._states,
            negative_prompt_embeds=self._states,
            attention_mask=self._mask,
            negative_attention_mask=self._mask,
            generated_prompt_embeds=self._loa,
            negative_generated_prompt_embeds=self._loa,
            num_inference_steps=num_steps,
            guidance_scale=GUIDANCE_SCALE,
            audio_length_in_s=self._duration,
        )


def build_networks(config: ModelConfig) -> dict[str, Any]:
    """Return their UNet, VAE and vocoder with random weights, by name."""
    import diffusers
    import transformers

    configs = component_configs(config)
    vocoder_config = transformers.SpeechT5HifiGanConfig(**configs["vocoder/config.json"])
    return {
        "unet": diffusers.AudioLDM2UNet2DConditionModel.from_config(configs["unet/config.json"]),
        "vae": diffusers.AutoencoderKL.from_config(configs["vae/config.json"]),
        "vocoder": transformers.SpeechT5HifiGan(vocoder_config),
    }


def _build_pipeline(config: ModelConfig) -> Any:
    """Their pipeline with random weights. GPT-2 is of the class with which it still runs."""
    import diffusers
    import transformers
    from diffusers.pipelines.audioldm2.modeling_audioldm2 import AudioLDM2ProjectionModel

    networks = build_networks(config)
    configs = component_configs(config)
    scheduler = diffusers.DDIMScheduler.from_config(configs["scheduler/scheduler_config.json"])
    clap = transformers.ClapModel(transformers.ClapConfig(**configs["text_encoder/config.json"]))
    t5 = transformers.T5EncoderModel(transformers.T5Config(**configs["text_encoder_2/config.json"]))
    projection = {}
    for key, value in configs["projection_model/config.json"].items():
        if not key.startswith("_"):
            projection[key] = value
    gpt2 = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(**configs["language_model/config.json"])
    )
    return diffusers.AudioLDM2Pipeline(
        **networks,
        text_encoder=clap,
        text_encoder_2=t5,
        projection_model=AudioLDM2ProjectionModel(**projection),
        language_model=gpt2,
        tokenizer=None,
        tokenizer_2=None,
        feature_extractor=None,
        scheduler=scheduler,
    )
