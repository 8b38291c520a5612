"""Who uses the website: visitors, viewers, and the origin of a stream."""
