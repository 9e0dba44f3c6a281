"""Tell from the header of a qcow2 image whether it can still grow.

QEMU's docs/interop/qcow2.txt describes the header; all of it is big-endian.
"""

from dataclasses import dataclass

#: Bytes that :func:`read_header` takes from the start of an image.
HEADER_BYTES = 104

_MAGIC = b'QFI\xfb'
_EXTERNAL_DATA = 1 << 2
_EXTENDED_L2 = 1 << 4
# What the format itself allows.
_CLUSTER_BITS = range(9, 22)
_REFCOUNT_ORDERS = range(7)


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of a header that concern an image's growth."""

    virtual_bytes: int
    cluster_bytes: int
    refcount_bits: int
    l2_entry_bytes: int
    backed: bool
    snapshots: int
    external_data: bool


def read_header(start: bytes) -> Header | None:
    """Parse the start of an image; None when it is not a qcow2 header."""
    if len(start) < HEADER_BYTES or not start.startswith(_MAGIC):
        return None
    version = int.from_bytes(start[4:8])
    cluster_bits = int.from_bytes(start[20:24])
    # Version 2 ends before these fields, and has 16 bits.
    features = int.from_bytes(start[72:80]) if version == 3 else 0
    order = int.from_bytes(start[96:100]) if version == 3 else 4
    if (
        version not in (2, 3)
        or cluster_bits not in _CLUSTER_BITS
        or order not in _REFCOUNT_ORDERS
    ):
        return None
    return Header(
        virtual_bytes=int.from_bytes(start[24:32]),
        cluster_bytes=1 << cluster_bits,
        refcount_bits=1 << order,
        l2_entry_bytes=16 if features & _EXTENDED_L2 else 8,
        backed=any(start[8:16]),
        snapshots=int.from_bytes(start[60:64]),
        external_data=bool(features & _EXTERNAL_DATA),
    )


def why_it_grows(header: Header, size: int, held: int) -> str:
    """Return why a write may allocate blocks; '' when none does.

    :param size: the file's length in bytes.
    :param held: the bytes of the file system's blocks below it. Up to one
        cluster less than ``size`` is the rest of a table that
        ``preallocation=full`` itself leaves unwritten.
    """
    if header.external_data:
        return 'its data is in another file'
    if header.backed:
        return 'it has a backing file'
    if header.snapshots:
        return 'it has snapshots'
    whole = _whole_bytes(header)
    if size < whole:
        return f'fully allocated it takes {whole} bytes, and it has {size}'
    if size - held >= header.cluster_bytes:
        return f'{held} of its {size} bytes are allocated'
    return ''


def _whole_bytes(header: Header) -> int:
    """Return the length of an image with all clusters allocated."""
    cluster = header.cluster_bytes
    data = _divide_up(header.virtual_bytes, cluster)
    # Besides the L2 tables: the header, the refcount table and the L1 table.
    others = 3 + _divide_up(data * header.l2_entry_bytes, cluster)
    counted = data + others
    blocks = _divide_up(counted * header.refcount_bits, cluster * 8)
    return (counted + blocks) * cluster


def _divide_up(number: int, by: int) -> int:
    return -(-number // by)
