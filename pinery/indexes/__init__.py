"""Indexes: each kind has a module of its own, behind the Protocol `Index`."""
