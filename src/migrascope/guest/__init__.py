"""The guest of the labs: its image, its website, and the agent that runs in it."""
