"""Files that survive a power cut, and readers that survive any file: no format is known here."""
