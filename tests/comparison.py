"""Tiny models of both generations, and comparisons of their tensors."""

import published
import torch

from latentaudio.loaders.components import component_names

KINDS = {"audioldm2": published.audioldm2, "v1": published.audioldm}


def states(model):
    return {
        f"{p}.{k}": v
        for p in component_names(model.config)
        for k, v in model.load_component(p, as_stored=True).state_dict().items()
    }


def same(first, second):
    assert first.keys() == second.keys()
    return [
        key
        for key in first
        if first[key].dtype != second[key].dtype or not torch.equal(first[key], second[key])
    ]
