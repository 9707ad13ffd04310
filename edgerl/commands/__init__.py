"""What a user types: one file a command."""
