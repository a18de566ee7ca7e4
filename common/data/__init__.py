"""Readers and writers of data files, and the windows that models are fed from them."""
