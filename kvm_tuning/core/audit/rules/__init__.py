"""The rules of the audit, one concern a file; ``table`` joins them."""
