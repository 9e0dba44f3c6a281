"""How each kind of setting is read, written and made permanent."""
