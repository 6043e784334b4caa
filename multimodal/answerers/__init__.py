"""Models that answer questions about images.

- `training.train_answerer` trains one, by the loop and the recipe that everything is trained by;
- `answerer.Answerer` opens what was trained and answers;
- `evaluation.evaluate_answerer` measures it, with the controls that a score means nothing without;
- `network` is the module: a network of words, one of images, a fusion of `multimodal.fusions`, a head over answers.
"""
