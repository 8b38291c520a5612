"""What a command of the user's does as a whole: doctors, bringing up a lab, a run of a plan."""
