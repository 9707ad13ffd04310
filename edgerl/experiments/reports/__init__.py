"""What runs came to, for people: one page, a table, a picture or JSON."""
