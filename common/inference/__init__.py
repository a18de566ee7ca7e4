"""Checkpoints, where a model runs, and lifting whole clips to 3D. Nothing here trains."""
