"""The training engine: stacked networks, tensors and numbers in, histories out."""
