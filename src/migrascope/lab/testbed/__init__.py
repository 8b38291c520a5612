"""The testbed as a lab: a cloud whose parts are ours, to look into and to break."""
