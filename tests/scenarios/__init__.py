"""What each knob does, as data: kept, refused, and what to know of it.

Each YAML file here is a list of scenarios:

``name``
    Unique; the test's name.
``knob``
    The knob that it is about.
``flavor``, ``image``
    Extra specs and image properties. A flavor has 4 vCPUs and 2048 MiB
    unless ``vcpus`` and ``memory_mib`` say otherwise.
``guest``
    A domain below ``guests/``; ``plain`` if not given.
``host``
    Arguments of FakeHost; a host of two cells with two L3 domains each, of
    four cores with two threads, and 4096 huge pages of 2 MiB a cell. Its
    ``pfs`` are arguments of FakePf.
``policy``
    ``dedicated`` and ``shared`` CPU lists. If not given, the first two
    cores of each cell are shared (0, 1, 8, 9 and their siblings 16, 17, 24,
    25), the rest is dedicated.
``taken``, ``taken_devices``
    A CPU list, and names of devices, that others hold.
``capabilities``
    Overrides of what the host can do: everything, if not given.
``holds``
    What the tuned XML carries: path and attribute (or ``text``) to value;
    a value ``null``: it must not be there.
``settings``, ``devices``
    Settings outside the domain, ``kind/name`` to value; what the guest holds.
``error``
    The code of the refusal, and words that its message has.
``unkept``, ``consequences``
    Knobs of preferences that were not kept; codes of consequences.
``without``
    Codes of consequences that it does not have.
"""
