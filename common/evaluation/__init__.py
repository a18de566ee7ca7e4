"""Errors of 3D poses, scores of a model, and tables and figures of them."""
