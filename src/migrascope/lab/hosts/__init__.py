"""Two libvirt hosts of others, and a domain of theirs that is migrated and else left as it is."""
