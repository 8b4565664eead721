"""Indexes: each kind is one file behind the Protocol `Index`."""
