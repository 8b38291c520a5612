"""How QEMU copies a running guest, computed ahead from any state of it: of one to come, and of one under way."""
