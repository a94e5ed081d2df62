"""The report: tables of antibodies and genes, figures, pictures, and the page that shows them."""
