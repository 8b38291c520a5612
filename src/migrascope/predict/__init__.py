"""What a migration will cost, computed before it begins, and how far such figures can be trusted."""
