"""Model folders: what is written comes back, and what does not fit is named."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from latentaudio.errors import WeightsError
from latentaudio.loaders import model_folder as folders


def test_every_part_comes_back_as_it_was_written(tiny_folder):
    name, config, card = folders.read_config(tiny_folder)
    assert (name, card) == ("mini", {"made": "by dice"})
    for part in folders.parts_of(config):
        stored = load_file(tiny_folder / f"{part}.safetensors")
        module = folders.load_part(tiny_folder, part, config)
        assert not module.training
        state = module.state_dict()
        assert set(state) == set(stored)
        assert all(torch.equal(state[key], stored[key]) for key in stored)


def test_half_precision_on_disk_is_float32_in_memory(tiny_folder, tmp_path):
    config = folders.read_config(tiny_folder)[1]
    state = load_file(tiny_folder / "vae.safetensors")
    folders.save_part(tmp_path, "vae", state, torch.float16)
    small, large = (path / "vae.safetensors" for path in (tmp_path, tiny_folder))
    assert small.stat().st_size < 0.7 * large.stat().st_size
    module = folders.load_part(tmp_path, "vae", config)
    for key, value in module.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, state[key], atol=1e-3, rtol=1e-3)


def test_coarse_rows_come_back_within_half_a_step_of_their_own_scale(tiny_folder, tmp_path):
    config = folders.read_config(tiny_folder)[1]
    fine = folders.load_part(tiny_folder, "t5", config).state_dict()
    fine["shared.weight"][3] *= 100.0
    fine["shared.weight"][4] = 0.0
    folders.save_part(tmp_path, "t5", fine, coarse=["shared.weight", "encoder.embed_tokens.weight"])
    back = folders.load_part(tmp_path, "t5", config).state_dict()
    step = fine["shared.weight"].abs().amax(dim=1) / 127
    apart = (back["shared.weight"] - fine["shared.weight"]).abs().amax(dim=1)
    assert (apart <= 0.501 * step).all() and (apart > 0.1 * step)[5:].all()
    assert all(
        torch.equal(back[key], fine[key])
        for key in fine
        if not key.endswith(("shared.weight", "embed_tokens.weight"))
    )
    assert (
        sum(
            v.element_size()
            for v in load_file(tmp_path / "t5.safetensors").values()
            if v.shape == (*step.shape, 24)
        )
        == 1
    )


def test_what_does_not_fit_is_named(tiny_folder, tmp_path):
    config = folders.read_config(tiny_folder)[1]
    state = load_file(tiny_folder / "vae.safetensors")
    gone = state.pop("quant.bias")
    save_file(state, tmp_path / "vae.safetensors")
    with pytest.raises(WeightsError, match=r"does not fit: missing quant.bias \[8\];"):
        folders.load_part(tmp_path, "vae", config)
    save_file({**state, "quant.bias": gone[:-1].clone()}, tmp_path / "vae.safetensors")
    with pytest.raises(WeightsError, match=r"misshapen quant.bias is \[7\], wanted \[8\];"):
        folders.load_part(tmp_path, "vae", config)
    (tmp_path / "vae.safetensors").write_bytes(b"not at all")
    with pytest.raises(WeightsError, match="is damaged"):
        folders.load_part(tmp_path, "vae", config)
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(WeightsError, match="cannot be read"):
        folders.read_config(tmp_path)
