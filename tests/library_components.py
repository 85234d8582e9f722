"""All tiny components of diffusers and transformers beside ours; see library_bench."""

import numpy as np
import torch
import transformers
from diffusers import (
    DDIMScheduler,
)
from library_bench import Bench, as_json, random
from library_bench import open_ours as open_ours
from library_encoders import CLAP as CLAP
from library_encoders import CLAP_AUDIO_TOWER as CLAP_AUDIO_TOWER
from library_encoders import CLAP_TEXT as CLAP_TEXT
from library_encoders import CLAP_TEXT_TOWER as CLAP_TEXT_TOWER
from library_encoders import GPT2 as GPT2
from library_encoders import T5 as T5
from library_encoders import VITS as VITS
from library_networks import UNET_1 as UNET_1
from library_networks import UNET_2 as UNET_2
from library_networks import VAE as VAE
from library_networks import VOCODER as VOCODER

from latentaudio.audio.mel import clap_mel
from latentaudio.diffusion.samplers.ddim import ddim
from latentaudio.diffusion.schedule import Schedule
from latentaudio.loaders import diffusers_configs, diffusers_keys, transformers_configs
from latentaudio.loaders import transformers_keys as keys

# Front end and schedule


def _build_front_end(arguments):
    extractor = transformers.ClapFeatureExtractor(**arguments)
    return extractor, as_json(extractor.to_dict()), {}


def _clip():
    return random(30_000, seed=9).numpy() * 0.1


def _library_front_end(extractor):
    features = extractor(_clip(), sampling_rate=extractor.sampling_rate, return_tensors="np")
    return [torch.from_numpy(np.asarray(features["input_features"]))[0, :1].float()]


def _ours_front_end(settings, state):
    spec = transformers_configs.read_feature_extractor(settings)
    return [clap_mel(torch.from_numpy(_clip())[None], "repeatpad", spec)[0]]


FRONT_END = Bench(
    keys.FEATURE_EXTRACTOR,
    {"truncation": "rand_trunc", "frequency_min": 50, "max_length_s": 1},
    _build_front_end,
    _library_front_end,
    _ours_front_end,
    changes={
        "sampling_rate": [44100],
        "hop_length": [320],
        "fft_window_size": [512],
        "feature_size": [32],
        "frequency_min": [20],
        "frequency_max": [8000],
        "max_length_s": [2],
        "truncation": ["fusion"],
        "padding": ["repeat", "pad"],
        "padding_value": [1.0],
        "padding_side": ["left"],
        "top_db": [20],
        "nb_frequency_bins": [100],
        "nb_max_samples": [100],
        "feature_extractor_type": ["ClapFeatureExtractor"],
    },
)


def _toy_denoise(z, t):
    return torch.tanh(z * 0.7 + t.float().view(-1, 1, 1, 1) / 999)


def _library_ddim(scheduler):
    results = []
    for steps in (7, 10):
        scheduler.set_timesteps(steps)
        z = random(1, 2, 3, 4)
        for t in scheduler.timesteps:
            prediction = _toy_denoise(z, t[None])
            z = scheduler.step(prediction.double(), t, z.double()).prev_sample
        results.append(z.float())
    return results


def _ours_ddim(settings, state):
    schedule = Schedule(diffusers_configs.read_schedule(settings))
    results = []
    for steps in (7, 10):
        timesteps = schedule.timesteps(steps, "leading")
        *_, last = ddim(
            lambda z, t: _toy_denoise(z, t), random(1, 2, 3, 4).double(), schedule, timesteps
        )
        results.append(last.z.float())
    return results


def _build_scheduler(library_class):
    def build(arguments):
        scheduler = library_class(**arguments)
        return scheduler, as_json(dict(scheduler.config)), {}

    return build


_SCHEDULE_CHANGES = {
    "beta_schedule": ["linear", "squaredcos_cap_v2"],
    "trained_betas": [[0.001 * i for i in range(1, 1001)]],
    "prediction_type": ["v_prediction", "sample"],
    "timestep_spacing": ["trailing", "linspace"],
    "steps_offset": [0, 2],
    "beta_start": [0.001],
    "beta_end": [0.012],
    "num_train_timesteps": [500],
    "clip_sample_range": [2.0],
    "sample_max_value": [2.0],
}
_SCHEDULE = {
    "beta_start": 0.0015,
    "beta_end": 0.0195,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}
DDIM = Bench(
    diffusers_keys.SCHEDULERS["DDIMScheduler"],
    {**_SCHEDULE, "clip_sample": False, "set_alpha_to_one": False},
    _build_scheduler(DDIMScheduler),
    _library_ddim,
    _ours_ddim,
    changes=_SCHEDULE_CHANGES,
)


def scheduler_bench(library_class):
    """A scheduler that runs in the drop-in itself: only its noise levels are ours."""
    return Bench(
        diffusers_keys.SCHEDULERS[library_class.__name__],
        _SCHEDULE,
        _build_scheduler(library_class),
        lambda scheduler: [scheduler.alphas_cumprod],
        lambda settings, _: [
            Schedule(diffusers_configs.read_schedule(settings)).alphas_cumprod.float()
        ],
        changes={
            **_SCHEDULE_CHANGES,
            "prediction_type": ["v_prediction"],
            "algorithm_type": ["sde-dpmsolver++"],
            "solver_type": ["heun"],
            "final_sigmas_type": ["sigma_min"],
            "variance_type": ["learned"],
            "lambda_min_clipped": [-5.0],
            "interpolation_type": ["log_linear"],
            "timestep_type": ["continuous"],
            "sigma_min": [0.1],
            "sigma_max": [10.0],
            "time_shift_type": ["linear"],
            "rescale_betas_zero_snr": [True],
            "use_flow_sigmas": [True],
        },
    )
