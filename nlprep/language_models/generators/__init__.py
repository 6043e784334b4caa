"""What language models say: generated text, filled blanks, few-shot answers, perplexity."""
