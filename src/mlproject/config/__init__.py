"""The configuration: presets, options, and what must hold between them."""
