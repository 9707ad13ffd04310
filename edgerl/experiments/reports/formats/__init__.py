"""The forms that a report takes: a page, a picture, Markdown, JSON."""
