"""What a run will take, before it starts: rows, bytes, multiply-adds, time. No torch."""
