"""Losses that belong to no modality: functions of tensors and modules, for any step of the training loop."""
