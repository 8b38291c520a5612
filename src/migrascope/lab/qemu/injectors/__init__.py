"""What brings disturbances about on the QEMU lab, one module for each sort."""
