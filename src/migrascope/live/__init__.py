"""What is seen of a migration while it runs: its rounds, when it will end, and the state that a view shows."""
