"""The report: tables and their descriptions, figures, thumbnails, and the page."""
