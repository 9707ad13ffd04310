"""A video of the games that a trained agent plays."""
