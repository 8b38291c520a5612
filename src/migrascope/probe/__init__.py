"""Programs that observe a migration. They append stamped facts and compute nothing."""
