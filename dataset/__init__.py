"""Scripts that prepare data sets, and the readers of motion capture that they share."""
