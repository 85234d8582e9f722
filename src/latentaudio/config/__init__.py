"""Configuration: shapes of networks, table of models, options, presets. Torch-free."""
