"""Blocks and plots as data, and every format they are written in. Imports no torch."""
