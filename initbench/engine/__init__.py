"""The training engines: networks, tensors and numbers in, histories out; no files and no settings."""
