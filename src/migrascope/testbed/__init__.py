"""A real two-node OpenStack on Ceph on this machine; it knows nothing of experiments."""
