"""Typed options: fields of a dataclass that explain themselves, read themselves from a text and check their values."""
