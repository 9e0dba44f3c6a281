"""The rules of the audit, one concern per file; ``table`` joins them."""
