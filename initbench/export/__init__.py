"""Trials in the files of other programs that keep experiments: a run each, written by those programs' own libraries."""
