"""One file for each sampler, from noise to a latent; `config.samplers` has a row for each.

A sampler is a function of a `Denoiser`. It takes S decreasing timesteps t_0 > t_1 > ... and yields
one `Step` per update. Progress, previews, cancelling and streaming are the caller's loop.

Two arguments serve editing. `start` skips the first steps: z is then already at the noise level of
timesteps[start] (`Schedule.q_sample`). `pre_step` may replace z before each prediction.
"""
