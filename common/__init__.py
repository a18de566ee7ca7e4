"""What the entry scripts share: data, losses, metrics, checkpoints, training and evaluation."""
