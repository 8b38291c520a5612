"""What brings disturbances about on OpenStack, one module for each sort."""
