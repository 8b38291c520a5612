"""A run for other programs: tables, a data dictionary."""
