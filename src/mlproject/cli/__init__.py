"""The command line: what it reads, and what each entry point does."""
