"""What a user runs: recipes, state points, executors, reports."""
