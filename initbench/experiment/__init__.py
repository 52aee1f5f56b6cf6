"""From a request to records: what is to train, the search, the chunks, the training of one of them."""
