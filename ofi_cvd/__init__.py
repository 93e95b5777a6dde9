"""Trustworthy order-flow data from crypto exchanges, on a researcher's own machine."""

from __future__ import annotations

__version__ = "0.1.0"
