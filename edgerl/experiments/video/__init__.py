"""A film of the games that a trained agent plays."""
