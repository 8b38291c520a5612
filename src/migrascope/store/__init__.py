"""What is on disk: run folders, recorded tables and events, spools of running probes, capture files."""
