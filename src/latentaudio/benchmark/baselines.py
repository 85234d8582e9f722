"""diffusers' AudioLDM 2 with random weights of published shapes, taken apart into what `timing` asks for.

Knows their classes. Refuses to know clocks. Needs diffusers, which is loaded when one is made.
"""

from __future__ import annotations

from typing import Any

import torch

from ..config.architecture import ModelConfig
from ..loaders.diffusers_configs import components

GUIDANCE = 3.5


class Diffusers:
    """Their documented use: DDIM, guidance 3.5; float32 on a CPU, float16 on a GPU. GPT-2 is of the class with which their
    pipeline still runs, without its head for words, which nobody needs.

    batch: clips. rows: latent cells in time. words: tokens of the prompt.
    """

    name = "diffusers"

    def __init__(
        self, config: ModelConfig, batch: int, rows: int, words: int, device: str = "cpu"
    ) -> None:
        import diffusers
        import transformers
        from diffusers.pipelines.audioldm2.modeling_audioldm2 import AudioLDM2ProjectionModel

        torch.manual_seed(0)
        said = components(config)
        self.config, self.batch, self.rows = config, batch, rows
        dtype = torch.float16 if device.startswith("cuda") else torch.float32
        parts: dict[str, Any] = {
            "unet": diffusers.AudioLDM2UNet2DConditionModel.from_config(said["unet/config.json"]),
            "vae": diffusers.AutoencoderKL.from_config(said["vae/config.json"]),
            "vocoder": transformers.SpeechT5HifiGan(
                transformers.SpeechT5HifiGanConfig(**said["vocoder/config.json"])
            ),
            "scheduler": diffusers.DDIMScheduler.from_config(
                said["scheduler/scheduler_config.json"]
            ),
        }
        self.clap = transformers.ClapModel(
            transformers.ClapConfig(**said["text_encoder/config.json"])
        )
        self.t5 = transformers.T5EncoderModel(
            transformers.T5Config(**said["text_encoder_2/config.json"])
        )
        numbers = {k: v for k, v in said["projection_model/config.json"].items() if k[0] != "_"}
        self.pipe = diffusers.AudioLDM2Pipeline(
            text_encoder=self.clap, text_encoder_2=self.t5, projection_model=AudioLDM2ProjectionModel(**numbers),
            language_model=transformers.GPT2LMHeadModel(transformers.GPT2Config(**said["language_model/config.json"])),
            tokenizer=None, tokenizer_2=None, feature_extractor=None, **parts,
        )  # fmt: skip
        self.pipe.set_progress_bar_config(disable=True)
        self.pipe.language_model.lm_head = torch.nn.Identity()
        for part in (
            "unet",
            "vae",
            "vocoder",
            "language_model",
            "projection_model",
            "text_encoder",
            "text_encoder_2",
        ):
            module = getattr(self.pipe, part).eval().requires_grad_(False).to(device)
            if dtype == torch.float16:
                module.half()
        width, states = config.unet.heard
        shape = (batch, config.vae.latent, rows, config.mel.bins // config.vae.factor)
        with torch.device(device):
            self.ids, self.mask = (
                torch.randint(3, 1000, (batch, words)),
                torch.ones(batch, words, dtype=torch.long),
            )
            shapes = (
                shape,
                (batch, rows * config.vae.factor, config.mel.bins),
                (batch, 8, width),
                (batch, words, states),
            )
            self.z, self.mel, self.written, self.states = (
                torch.randn(one, dtype=dtype) for one in shapes
            )
            self.projected = torch.randn(batch, words + 5, width, dtype=dtype)
        self.pipe.scheduler.set_timesteps(200, device=device)

    @torch.no_grad()
    def text(self) -> None:
        """CLAP, padded to 512 as there, and T5 read the prompt and the empty one."""
        missing = 512 - self.ids.shape[1]
        padded, mask = (
            torch.nn.functional.pad(x, (0, missing), value=v)
            for x, v in ((self.ids, 1), (self.mask, 0))
        )
        for _ in range(2):
            self.clap.get_text_features(padded, attention_mask=mask)
            self.t5(self.ids, attention_mask=self.mask)

    @torch.no_grad()
    def loa(self) -> None:
        """GPT-2 writes 8 vectors, for the prompt and for the empty one."""
        mask = torch.ones(self.projected.shape[:2], dtype=torch.long, device=self.projected.device)
        for _ in range(2):
            self.pipe.generate_language_model(self.projected, attention_mask=mask, max_new_tokens=8)

    @torch.no_grad()
    def step(self) -> None:
        """One guided step of DDIM."""
        heard = (torch.cat([x, x]) for x in (self.written, self.states, self.mask))
        loa, states, mask = heard
        t = self.pipe.scheduler.timesteps[0]
        made = self.pipe.unet(
            torch.cat([self.z, self.z]),
            t,
            encoder_hidden_states=loa,
            encoder_hidden_states_1=states,
            encoder_attention_mask_1=mask,
        ).sample
        without, with_ = made.chunk(2)
        self.pipe.scheduler.step(without + GUIDANCE * (with_ - without), t, self.z)

    @torch.no_grad()
    def decode(self) -> None:
        """Latent to mel."""
        self.pipe.vae.decode(self.z / self.pipe.vae.config.scaling_factor)

    @torch.no_grad()
    def vocode(self) -> None:
        """Mel to samples."""
        self.pipe.vocoder(self.mel)

    def clip(self, steps: int) -> None:
        """A whole clip of so many steps but for reading the prompt, by their own call."""
        self.pipe(
            prompt_embeds=self.states, negative_prompt_embeds=self.states, attention_mask=self.mask,
            negative_attention_mask=self.mask, generated_prompt_embeds=self.written,
            negative_generated_prompt_embeds=self.written, num_inference_steps=steps, guidance_scale=GUIDANCE,
            audio_length_in_s=self.rows * self.config.vae.factor * self.config.mel.hop / self.config.mel.rate,
        )  # fmt: skip
