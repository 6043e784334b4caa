"""Questions about images: read from files or drawn, their answers counted, given answers measured.

- `collection.Questions` holds texts, answers and the images that they are about; `reading.read_questions` reads them;
- `vocabulary.fit_answers` says which answers there are to give; `splits` sets questions aside by their images;
- `scores.score_answers` says how good given answers are; `controls` takes one side away;
- `drawn` draws a data set whose questions alone say nothing.
"""
