"""Procedural audio: a captioned corpus of synthesized sounds.

Sound classes, scenes, room acoustics, captions and the folder that a corpus is written to.
README.md shows how to render a corpus and how to add a sound class. The package imports no
neural network code and nothing of `latentaudio`.
"""
