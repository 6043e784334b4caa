"""What a run leaves on disk: checkpoints, metrics, pictures, and whose directory it is."""
