"""A trial: its parts in their order, its migration, its recording. engine.py has the order."""
