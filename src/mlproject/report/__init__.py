"""The report of a study (figures and one self-contained page), and fits of curves logged elsewhere."""
