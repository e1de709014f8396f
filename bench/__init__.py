"""Cost of the server, as ratios in one run, and its endurance."""
