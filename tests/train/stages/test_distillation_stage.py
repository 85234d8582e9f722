"""The distillation stage: the student's sampling and its training target."""

import pytest
import torch

import latentaudio
from latentaudio.conditioning import encode_prompts
from latentaudio.errors import ConfigError, UsageError


def test_a_distilled_unet_samples_at_its_own_timesteps_only(run_stage, tiny_folder):
    options = {"frames_per_batch": 512, "timesteps": [999, 600, 300], "teacher_substeps": 2}
    run_folder, _ = run_stage("distillation", tiny_folder, options=options)
    model = latentaudio.load(run_folder, "cpu", "fp32")
    steps = []
    [clip] = model.generate("a dog", duration=1.28, seed=4, preset="draft", on_step=steps.append)
    assert clip.options.sampler == "distilled"
    assert clip.options.steps == 3
    assert [step.t for step in steps] == [999, 600, 300]
    z = torch.randn(steps[0].z.shape[1:], generator=torch.Generator().manual_seed(4))[None]
    conditioning = encode_prompts(model.encoders, ["a dog"], 1, 16)
    schedule = model.config.schedule
    roots = torch.linspace(
        schedule.beta_start**0.5, schedule.beta_end**0.5, 1000, dtype=torch.float64
    )
    alphas_cumprod = torch.cumprod(1 - roots**2, 0)
    network = model.components["distilled_unet"]
    with torch.inference_mode():
        for t, t_end in ((999, 600), (600, 300), (300, -1)):
            a = float(alphas_cumprod[t])
            b = float(alphas_cumprod[t_end]) if t_end >= 0 else 1.0
            v = network(z, torch.tensor([t]), conditioning)
            x0 = a**0.5 * z - (1 - a) ** 0.5 * v
            epsilon = (1 - a) ** 0.5 * z + a**0.5 * v
            z = b**0.5 * x0 + (1 - b) ** 0.5 * epsilon
    torch.testing.assert_close(steps[-1].z, z, atol=1e-3, rtol=1e-3)
    for option in ({"steps": 5}, {"guidance_scale": 2.0}, {"negative_prompt": "hiss"}):
        [request] = model.resolve_requests(["a dog"], preset="draft", **option)
        assert request.options.sampler == "dpm++"
        with pytest.raises(UsageError, match="3 steps without guidance"):
            model.resolve_requests(["a dog"], sampler="distilled", **option)


@pytest.mark.parametrize("timesteps", [[999, 0], [1000, 500], [10, 5]])
def test_timesteps_too_close_for_the_substeps_are_an_error(timesteps, run_stage, tiny_folder):
    options = {"frames_per_batch": 512, "timesteps": timesteps, "teacher_substeps": 8}
    with pytest.raises(ConfigError, match="too close for 8 teacher substeps"):
        run_stage("distillation", tiny_folder, options=options)


def test_the_target_is_a_step_of_the_teacher_and_a_jump_of_the_student(
    run_stage, tiny_stage, tiny_folder
):
    options = {"frames_per_batch": 512, "teacher_substeps": 4, "guidance_start": 0.1}
    run_folder, _ = run_stage("distillation", tiny_folder, steps=3, options=options)
    stage = tiny_stage("distillation", options, run_folder / "model")
    batch = stage.batch(0)
    schedule = stage.schedule
    encodings = stage.complete_encodings(batch, stage.preview_loa(batch))
    conditioning = encodings.conditioning(stage.config.unet)
    unconditional = stage.unconditional.like(encodings).conditioning(stage.config.unet)
    z = torch.randn(batch["latent"].shape, generator=torch.Generator().manual_seed(1))

    def jump(z, x0, t, t_end):
        """DDIM (arXiv 2010.02502, eq. 12) in plain numbers."""
        a, b = (float(schedule.alphas_cumprod[k]) if k >= 0 else 1.0 for k in (t, t_end))
        return b**0.5 * x0 + (1 - b) ** 0.5 * (z - a**0.5 * x0) / (1 - a) ** 0.5

    def predict_x0(network, z, t, conditioning):
        times = torch.full((len(z),), t)
        prediction = network(z, times, conditioning).detach()
        return schedule.to_x0_and_eps(z, times, prediction)[0]

    for t, t_next, t_end, scale in (
        (999, 936, 749, 1.0),
        (812, 749, 749, 3.0),
        (249, 186, -1, 3.0),
        (62, -1, -1, 1.0),
        (186, 124, -1, 1.0),
    ):
        cond = predict_x0(stage.teacher, z, t, conditioning)
        difference = cond - predict_x0(stage.teacher, z, t, unconditional)
        dot = (difference * cond).sum((1, 2, 3), True)
        parallel = dot / cond.square().sum((1, 2, 3), True) * cond
        teacher_x0 = cond + (scale - 1) * (difference - parallel)
        expected = jump(z, teacher_x0, t, t_next)
        if t_next != t_end:
            student_x0 = predict_x0(stage.unet, expected, t_next, conditioning)
            expected = jump(expected, student_x0, t_next, t_end)
        times = [torch.full((len(z),), k) for k in (t, t_next, t_end)]
        target = stage.consistency_target(z, *times, conditioning, unconditional)
        actual = jump(z, schedule.to_x0_and_eps(z, times[0], target)[0], t, t_end)
        torch.testing.assert_close(actual, expected, atol=2e-4, rtol=2e-4)
