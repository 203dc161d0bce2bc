"""What the papers and the original code promise of each objective; tests/inspect_properties.py is the script."""
