"""One corpus, its targets, and one run of them: who may write to what, and what the state remembers."""
