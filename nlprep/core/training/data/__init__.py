"""What a run is trained on: examples, the order in which they come, and the loaders that fetch them."""
