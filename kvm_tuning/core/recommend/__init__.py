"""What a host should be configured to: a rule, and the text that has it."""
