"""Healing: move the running guests of a host to where they belong.

Inside a NUMA cell a pin is only affinity, so dedicated pCPUs can be exchanged
between running guests while memory stays where it is. Each NUMA cell is a
problem of its own (``cell``). Its state is a table of who has how much in
which L3 domain (``table``). Steps bring one guest together at a time
(``gather``), exchanges improve on the result (``polish``), and a packing from
nothing is the other candidate (``repack``); ``seats`` turns the best table
into pins and ``heal`` runs it all. ``least`` proves how good an answer can be.
"""
