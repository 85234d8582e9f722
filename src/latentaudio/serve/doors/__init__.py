"""The interfaces of other products. To add one, add a file and a row to `DOORS`."""

from . import elevenlabs, openai, vllm_omni
from .base import Door

DOORS: tuple[Door, ...] = (elevenlabs.DOOR, openai.DOOR, vllm_omni.DOOR)
"""Every interface."""
