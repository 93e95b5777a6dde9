"""Append, seal and read back: bytes and hours, no markets."""
