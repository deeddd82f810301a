"""The steps of a study, one file per kind of run: the first function plans the `Step`, the second one is its `fn`."""
