"""What an environment is like, and what is wrong with it, before anything is trained on it."""
