"""The replay: what a row means, how batches are drawn, and what rows hold before and after the freeze."""
