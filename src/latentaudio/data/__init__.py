"""Sound with words: manifests, datasets and the synthesised corpus."""
