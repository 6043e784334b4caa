"""Random views of images: what is done to each is a function of its own key, and done to all of a batch at once."""
