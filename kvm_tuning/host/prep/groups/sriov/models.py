"""SR-IOV facts of cards and drivers that the kernel does not report.

From Linux' drivers/net/ethernet/intel/igb (igb_main.c, e1000_hw.h): the 82576
and the I350 have at most seven VFs a port; the 82580, the I354 and the I210
family have none. From Documentation/networking/device_drivers/ethernet/intel/
ixgbe.rst: 63 VFs a port (the 64th pool is the PF's own).
"""

from dataclasses import dataclass

_82576 = frozenset(
    {'10c9', '10e6', '10e7', '10e8', '1526', '150a', '1518', '150d'}
)
_I350 = frozenset({'1521', '1522', '1523', '1524', '1546'})
_I210 = frozenset({'1533', '1536', '1537', '1538', '157b', '157c', '15f6'})
_I211 = frozenset({'1539'})
_82580 = frozenset({'150e', '150f', '1510', '1511', '1516', '1527'})
_I354 = frozenset({'1f40', '1f41', '1f45'})

_INTEL = '8086'
_MELLANOX = '15b3'


@dataclass(frozen=True, slots=True)
class Model:
    """A family of cards."""

    name: str
    #: Most VFs a port; None: ``sriov_totalvfs`` has it.
    limit: int | None = None
    #: Whether it has SR-IOV at all; None: the kernel reports it.
    capable: bool | None = None
    #: What VFs cost the PF, and what the VFs lack.
    costs: tuple[str, ...] = ()
    #: Whether the number of VFs is fixed in the card's firmware.
    firmware: bool = False
    #: Whether its driver makes VFs only while the port is up.
    wants_up: bool = False
    #: The kernel's driver for it, where that is known without one bound.
    driver: str = ''


_FAMILIES = (
    (
        _82576,
        Model(
            'Intel 82576',
            7,
            True,
            ('with VFs the PF has only two queues and no DMA coalescing',),
            driver='igb',
        ),
    ),
    (
        _I350,
        Model(
            'Intel I350',
            7,
            True,
            (
                'with VFs the PF has only one queue (no RSS) and no DMA '
                'coalescing',
                'its VFs do not support a rate limit',
            ),
            driver='igb',
        ),
    ),
    (_I210, Model('Intel I210', 0, False)),
    (_I211, Model('Intel I211', 0, False)),
    (_82580, Model('Intel 82580', 0, False)),
    (_I354, Model('Intel I354', 0, False)),
)

_DRIVERS = {
    'igb': Model('a port of igb', 7),
    'ixgbe': Model('a port of ixgbe', 63),
    # bnxt_sriov.c: makes none and reports success; bnx2x_sriov.c: EINVAL.
    'bnxt_en': Model('a port of bnxt_en', wants_up=True),
    'bnx2x': Model('a port of bnx2x', wants_up=True),
}


def find(vendor: str, product: str, driver: str | None) -> Model:
    """Return the family of a PCI function."""
    if vendor == _INTEL:
        for products, model in _FAMILIES:
            if product in products:
                return model
    if vendor == _MELLANOX or driver == 'mlx5_core':
        return Model('an NVIDIA (Mellanox) card', firmware=True)
    return _DRIVERS.get(driver or '', Model('this card'))
