"""The skeleton, cameras, how 2D is normalised, windows of frames, mirroring: arithmetic without files or models."""
