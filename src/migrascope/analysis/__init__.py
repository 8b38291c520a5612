"""What many trials say: cells, intervals, comparisons, findings."""
