"""Tables and findings for a terminal or a pipe."""
