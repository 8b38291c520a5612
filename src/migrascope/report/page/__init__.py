"""The page report.html: what each section says."""
