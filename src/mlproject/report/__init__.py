"""The report of a study: figures (PNG) and one self-contained page."""
