"""Masks over the latent."""

import librosa
import numpy as np
from clips import half_mask

from latentaudio.editing.latent_mask import latent_mask


def test_a_drawn_mask_selects_the_cells_of_its_ranges(tiny):
    top_hz = float(librosa.mel_to_hz(librosa.hz_to_mel(8000.0) / 2))
    by_ranges = latent_mask([(0.5, 1.0)], [(0.0, top_hz - 1e-6)], 2.0, tiny.codec, 200)
    by_mask = latent_mask([], [], 2.0, tiny.codec, 200, half_mask() > 0)
    np.testing.assert_array_equal(by_mask.numpy(), by_ranges.numpy())
