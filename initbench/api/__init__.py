"""What Python users call: run a comparison, load its results, initialize a model of theirs."""
