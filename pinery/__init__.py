"""Pinery keeps a vector index true to an image corpus: list, plan, embed, upsert, delete, verify."""

__version__ = "0.1.0"
