"""What a trained model of images is used for: finding odd images, searching by image."""
