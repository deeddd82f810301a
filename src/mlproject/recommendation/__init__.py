"""What to do with the curves of a study: which reward model, by which method, how far, and with how much doubt.

Pure: curves in, statements out. Report, console, model card, search page and promotion repeat what is decided here.
"""
