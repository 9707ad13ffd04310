"""A folder to share or to put on a model hub: policy, film, scores, settings, and the README.md that explains them."""
