"""Authors' checkpoints of all thirteen names, at full width: the keys of spec 11.2, each tensor one number over its shape.

Such a file is small, yet each of its tensors has the published name and shape, so strict loading is put to the real test.
"""

import pytest
import torch

from latentaudio.variants import VARIANTS
from latentaudio.weights import keymap
from latentaudio.weights.folder import blank, parts_of
from latentaudio.weights.load import find

FIRST = {"unet": ["model.diffusion_model."], "vae": ["first_stage_model."], "vocoder": ["first_stage_model.vocoder."],
         "clap": ["cond_stage_model.model."]}  # fmt: skip
SECOND = {**FIRST, "clap": ["clap.model.", "cond_stage_models.0.cond_stage_models.0.model."],
          "translator": ["cond_stage_models.0."]}  # fmt: skip
HOMES = {
    "audioldm-": FIRST,
    "audioldm_48k": {**FIRST, "clap": ["clap.model.", "cond_stage_models.0.model."]},
    "audioldm_16k": {**FIRST, "clap": ["clap.model."], "t5": ["cond_stage_models.0.model."]},
    "audioldm2-speech": {**SECOND, "phonemes": ["cond_stage_models.0.cond_stage_models.1."]},
    "audioldm2-": {**SECOND, "t5": ["cond_stage_models.1.model.", "cond_stage_models.0.cond_stage_models.1.model."]},
}
LEFTOVERS = {
    "betas": (1000,), "alphas_cumprod": (1000,), "alphas_cumprod_prev": (1000,), "sqrt_alphas_cumprod": (1000,),
    "sqrt_one_minus_alphas_cumprod": (1000,), "log_one_minus_alphas_cumprod": (1000,), "sqrt_recip_alphas_cumprod": (1000,),
    "sqrt_recipm1_alphas_cumprod": (1000,), "posterior_variance": (1000,), "posterior_log_variance_clipped": (1000,),
    "posterior_mean_coef1": (1000,), "posterior_mean_coef2": (1000,), "logvar": (1000,), "model_ema.decay": (),
    "model_ema.num_updates": (),
}  # fmt: skip
CLAP_LEFTOVERS = {
    "text_branch.embeddings.position_ids": (1, 514), "text_transform.sequential.0.weight": (512, 512),
    "audio_transform.sequential.3.bias": (512,), "audio_branch.spectrogram_extractor.stft.conv_real.weight": (513, 1, 1024),
    "audio_branch.logmel_extractor.melW": (513, 64), "audio_branch.tscam_conv.weight": (527, 1024, 2, 3),
    "audio_branch.head.bias": (527,), "audio_branch.layers.0.blocks.1.attn_mask": (64, 64, 64),
}  # fmt: skip


def spread(value, shape):
    """A tensor of that shape in which one stored number stands everywhere."""
    return torch.tensor(value).expand(shape)


def checkpoint(name, path):
    """Write it; {part.key: number} of what was written under the first prefix of each part."""
    config, state, numbers = VARIANTS[name].config, {}, {}
    homes = next(table for prefix, table in HOMES.items() if name.startswith(prefix))
    for part in parts_of(config):
        own = blank(part, config).state_dict()
        slots = keymap.slots(part, config, own, "original")
        shapes = {n: s for key, value in own.items() for n, s in slots[key].shapes(value.shape).items()}
        leftovers = CLAP_LEFTOVERS if part == "clap" else {"encoder.embed_tokens.weight": (32128, 1024)} if part == "t5" else {}
        skip = ("token_type_ids",)  # which the authors' transformers did not keep
        for inner, shape in {**shapes, **leftovers}.items():
            if inner.endswith(skip):
                continue
            whole = inner.endswith(("position_ids", "relative_position_index", "num_batches_tracked"))
            number = float(len(numbers) % 97 + 1)
            for home in homes[part]:
                state[home + inner] = spread(int(number) if whole else number, [32 if n == -1 else n for n in shape])
            numbers[f"{part}/{inner}"] = number
    state |= {key: spread(0.5, shape) for key, shape in LEFTOVERS.items()} | {"scale_factor": torch.tensor(0.25)}
    if name.startswith("audioldm-"):
        state |= {"model_ema." + key.removeprefix("model.").replace(".", ""): spread(99.5, value.shape)
                  for key, value in state.items() if key.startswith("model.diffusion_model.")}  # fmt: skip
    else:
        state |= {"clap.mel_transform.spectrogram.window": torch.zeros(1), "clap.mel_transform.mel_scale.fb": torch.zeros(1)}
    if "translator" in homes:
        state["cond_stage_models.0.cond_stage_models.2.audiomae.model.cls_token"] = torch.zeros(1, 1, 768)
    torch.save({"state_dict": state, "epoch": 1, "global_step": 2}, path)
    assert path.stat().st_size < 8e6
    return numbers


@pytest.mark.parametrize("name", [row.name for row in VARIANTS.values() if row.parameters])
def test_every_published_checkpoint_is_recognised_and_fits(name, tmp_path):
    path = tmp_path / f"{name}.ckpt"
    numbers = checkpoint(name, path)
    found = find(path)
    assert (found.variant.name, found.config.unet, found.config.latent_std) == (name, VARIANTS[name].config.unet, (4.0,))
    for part in parts_of(found.config):
        module = found.part(part)
        state = module.state_dict()
        for key, slot in keymap.slots(part, found.config, state, "original").items():
            if not state[key].is_floating_point():
                continue
            averaged = part == "unet" and name.startswith("audioldm-")
            wanted = 99.5 if averaged else numbers[f"{part}/{slot.names[0]}"]
            assert state[key].flatten()[-1] == wanted, key
        index = [v for k, v in state.items() if k.endswith("token_type_ids")]
        assert all(not v.any() for v in index)


def test_names_of_the_first_files_are_understood(tmp_path):
    path = tmp_path / "audioldm-full-s-v2.ckpt"
    checkpoint("audioldm-s-full-v2", path)
    assert find(path).variant.name == "audioldm-s-full-v2"
    path.rename(tmp_path / "mine.ckpt")
    assert find(tmp_path / "mine.ckpt").variant.name == "audioldm-s-full"
    assert find(tmp_path / "mine.ckpt", like="audioldm-s-text-ft").variant.name == "audioldm-s-text-ft"
