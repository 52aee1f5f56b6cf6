"""What is wrong with the initialization of anyone's module before its first step, and the line that mends it."""
