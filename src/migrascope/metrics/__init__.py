"""Every number of a trial, by pure functions over its recording. catalogue.py lists them, trial.py asks for them."""
