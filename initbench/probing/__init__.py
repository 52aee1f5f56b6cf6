"""What a network does before it is trained: measured, beside what the theory of wide networks says of it."""
