"""Tests; run `python -m pytest` in the repository root."""
