"""Losses that belong to no modality: functions of tensors, for any step of the training loop.

A module is one family of losses, with its papers: contrast within the batch is `nlprep.objectives.info_nce`,
divergences of Gaussians are `nlprep.objectives.divergences`, what tells two samples apart
`nlprep.objectives.discrepancy`, errors that outliers do not rule `nlprep.objectives.robust_losses`, few active units
`nlprep.objectives.sparsity`, losses of players against each other `nlprep.objectives.adversarial`, redundancy reduction
`nlprep.objectives.redundancy`, the right one of a vocabulary `nlprep.objectives.token_cross_entropy`, distances of what
is alike and what is not `nlprep.objectives.metric_learning`, correlation of views `nlprep.objectives.correlation`. A
loss takes tensors and gives a scalar tensor, in nats where it is a likelihood's, a mean over examples (those of single
residuals give one for each); it knows no module, no device and no process. One that couples the examples of a batch is
given the whole batch, by a `nlprep.core.training.steps.coupled.CoupledStep`.
"""
