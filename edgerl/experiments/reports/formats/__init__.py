"""The formats of a report: a page, a picture, Markdown, JSON."""
