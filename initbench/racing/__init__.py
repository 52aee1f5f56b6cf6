"""A race of initializers on one model: paired rounds of seeds, and who leaves after each. Needs no torch."""
