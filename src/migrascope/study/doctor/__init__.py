"""What there is and what is missing, said before a run begins."""
