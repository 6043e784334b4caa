"""Language models from text alone: the masked and the causal objective, and the runs that train them."""
