"""Parts of this machine: processes, namespaces, links, cgroups, images, and the register by which all is removed again."""
