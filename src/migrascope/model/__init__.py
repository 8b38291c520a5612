"""Words and rules of the field: plans, disturbances, policies, metrics' values, clocks, problems. No I/O."""
