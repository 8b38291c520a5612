"""The lab `libvirt`: two hosts on this machine, each with a libvirt of its own that runs and migrates instances."""
