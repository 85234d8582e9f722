"""Drop-in pipelines: code for diffusers' AudioLDM pipelines runs with its import changed.

    from latentaudio.compat import AudioLDM2Pipeline

Arguments, attributes and methods have diffusers' names and meanings, and so has the sound
(reference "diffusers"; numerics: reference differences). Two of its faults are not repeated.
Candidates are ranked among those of their own prompt only. The language model may be of any class.
"""

from .audioldm import AudioLDMPipeline
from .audioldm2 import AudioLDM2Pipeline

__all__ = ["AudioLDM2Pipeline", "AudioLDMPipeline"]
