"""Captions of scenes, and the sentences that speakers say."""
