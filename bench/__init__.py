"""What the server costs, as ratios in one run, and whether it lasts."""
