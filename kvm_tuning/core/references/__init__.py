"""What a domain calls by name: when a thing goes, so does what names it."""
