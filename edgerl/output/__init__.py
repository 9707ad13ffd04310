"""What a user is shown: lines, tables, progress."""
