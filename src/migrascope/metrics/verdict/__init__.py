"""What became of the guest: pure functions from what the witnesses recorded to a verdict with its evidence."""
