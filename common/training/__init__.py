"""Losses, recipes, the training loop and the file from which a run goes on."""
