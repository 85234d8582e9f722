"""The captioned corpus made by synthesis: kinds of sound, scenes, rooms, grammar, files. Knows nothing of models."""
