"""The ledger: what articles and papers claim of initializers, each claim a file, measured and given a verdict."""
