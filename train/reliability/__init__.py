"""What keeps a run safe: signals, stop files and the time limit."""
