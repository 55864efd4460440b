"""One integrated record: the same person found, linked, and summed up, as far as the caller may see."""
