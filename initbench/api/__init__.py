"""What Python users call: initialize a model of theirs."""
