"""What dashboards read of an observation or a run while it goes on: OpenMetrics, served or in a file."""
