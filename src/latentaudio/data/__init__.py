"""Captioned audio on disk: manifests, crops and pre-encoded data sets."""
