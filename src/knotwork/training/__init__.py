"""Training of one adapter on one task with one seed, on transformers' Trainer."""
