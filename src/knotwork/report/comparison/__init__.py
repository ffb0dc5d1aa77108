"""Several runs beside each other: paired tests, tables, figures, the page."""
