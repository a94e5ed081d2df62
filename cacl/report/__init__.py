"""The report: tables and what describes them, figures, pictures, and the page that shows them."""
