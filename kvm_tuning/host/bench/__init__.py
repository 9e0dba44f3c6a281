"""Run the programs that measure this host."""
