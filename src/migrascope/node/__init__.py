"""Parts of this machine: processes, namespaces, links, cgroups, images, and the register that removes all of it."""
