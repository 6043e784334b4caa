"""A data set of questions that is drawn, and whose questions say nothing without their images."""
