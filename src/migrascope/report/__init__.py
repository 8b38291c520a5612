"""What people read of a run: the page, the terminal's tables, exports."""
