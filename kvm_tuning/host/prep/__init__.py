"""Host-prep: plan, apply, check and undo the settings of a host."""
