"""The joint decision, part by part; :mod:`.solve` runs it.

Demands are sorted (wants), the host is a grid of bit masks with a stock of
what is free, a guest cell is packed onto a host cell (cores, choices, packing)
if it fits there, and all cells are seated together (matching, seating) at the
lowest cost (costs).
"""
