"""Metre, rhyme and repetition in verse: counted, not judged."""
