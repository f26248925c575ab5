"""Adapters in a few lines: someone's own weights and arrays, declared once and converted both ways."""

from tapecheck.layout.around import Head, gradient_from_update, run_head, unroll
from tapecheck.layout.declaration import Layout

__all__ = ["Head", "Layout", "gradient_from_update", "run_head", "unroll"]
