"""The charts of the report, as Vega-Lite specifications and as pictures."""
