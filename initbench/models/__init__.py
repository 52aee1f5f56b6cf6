"""Models as functions of stacked parameters ``[trial, in, out]``: many networks in one pass."""
