"""Records to numbers: trials with their scores, what is compared with what, statistics. No sentences, no torch."""
