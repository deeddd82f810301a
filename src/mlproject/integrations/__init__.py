"""Hooks into other people's trainers."""
