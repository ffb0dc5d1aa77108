"""The report: the committed results of a run as one self-contained page."""
