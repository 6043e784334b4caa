"""Texts to labels: classifiers on pretrained models, and how they are fine-tuned and measured."""
