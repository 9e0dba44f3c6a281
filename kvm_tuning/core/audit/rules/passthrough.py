"""Host devices, VFs and macvtaps of a guest."""

from lxml import etree

from kvm_tuning.core import guest
from kvm_tuning.core.audit.rules.rule import Case, Rule, Rules, Verdict, equal
from kvm_tuning.core.exceptions import InvalidDocument
from kvm_tuning.core.observed import Function, Nic, Observed, Unknown
from kvm_tuning.core.xml import paths

_VFIO = 'vfio-pci'


def _mac(case: Case) -> str:
    for key in paths.steps(case.point.path)[1].keys:
        if key.attribute == 'address':
            return key.value.lower()
    return ''


def _nic(case: Case) -> Nic | Unknown:
    nic = case.observed.nics.get(_mac(case))
    return nic or Unknown(f'the guest no longer has NIC {_mac(case)}')


def _device(case: Case) -> etree._Element | None:
    """Return the ``<interface>`` or ``<hostdev>`` of the live document."""
    element = case.point.element
    while element is not None and element.tag not in ('interface', 'hostdev'):
        element = element.getparent()
    return element


def _function(case: Case) -> Function | Unknown:
    """Return the function that a device of the live document has."""
    device = _device(case)
    if device is None:
        return Unknown('the live XML has no such device')
    address = device.find('source/address')
    if address is not None:
        try:
            wanted = guest.pci_address(address)
        except InvalidDocument as error:
            return Unknown(str(error))
        found = case.observed.functions.get(wanted)
        return found or Unknown(f'{wanted} was not examined')
    return Unknown('it has no host address')


def _opened(case: Case) -> Verdict:
    """Check that VFIO has the function, and that QEMU was started with it."""
    function = _function(case)
    if isinstance(function, Unknown):
        return Verdict.unknown(function)
    if function.driver != _VFIO:
        driver = function.driver or 'no driver'
        return Verdict(False, f'{function.address} is bound to {driver}')
    verdict = _started_with(case.observed, function.address)
    if verdict.kept is not True:
        return verdict
    return Verdict(case.point.same, case.point.found)


def _started_with(observed: Observed, address: str) -> Verdict:
    if isinstance(observed.arguments, Unknown):
        return Verdict.unknown(observed.arguments)
    for device in observed.arguments.of('device'):
        driver = str(device.get('driver') or device.get(''))
        host = str(device.get('host', ''))
        if driver.startswith(_VFIO) and address.endswith(host) and host:
            return Verdict(True, address)
    return Verdict.unknown(
        Unknown(f'QEMU was started without {address}: it was plugged later')
    )


def _kind(case: Case) -> Verdict:
    """A VF that the guest drives has the NIC's MAC on its PF; a direct NIC is
    a macvtap.
    """
    if case.wanted == 'direct':
        nic = _nic(case)
        if isinstance(nic, Unknown):
            return Verdict.unknown(nic)
        if isinstance(nic.mode, Unknown):
            return Verdict.unknown(nic.mode)
        return Verdict(case.point.same, case.point.found)
    if case.wanted != 'hostdev':
        return Verdict(case.point.same, case.point.found)
    function = _function(case)
    if isinstance(function, Unknown):
        return Verdict.unknown(function)
    if isinstance(function.attributes, Unknown):
        return Verdict.unknown(function.attributes)
    mac = function.attributes.get('mac')
    if mac != _mac(case):
        return Verdict(False, f'a VF with the MAC {mac}')
    return Verdict(case.point.same, case.point.found)


def _vlan(case: Case) -> Verdict:
    wanted = case.number('id')
    function = _vf_of(case)
    if isinstance(function, Unknown):
        return Verdict.unknown(function)
    if isinstance(function.attributes, Unknown):
        return Verdict.unknown(function.attributes)
    vlan = function.attributes.get('vlan')
    if vlan is None:
        return Verdict.unknown(
            Unknown("the PF's driver does not report VLANs")
        )
    if vlan != str(wanted):
        return Verdict(False, f'VLAN {vlan}')
    return Verdict(True, case.point.found)


def _vf_of(case: Case) -> Function | Unknown:
    """Return the VF of a NIC, driven by the guest or below a macvtap."""
    device = _device(case)
    if device is not None and device.get('type') == 'hostdev':
        return _function(case)
    vfs = [f for f in case.observed.functions.values() if f.pf is not None]
    mac = _mac(case)
    # libvirt gives the VF below a macvtap the MAC of the guest's NIC.
    for vf in vfs:
        if not isinstance(vf.attributes, Unknown) and (
            vf.attributes.get('mac') == mac
        ):
            return vf
    return Unknown(f'no VF of the guest has the MAC {mac}')


def _mode(case: Case) -> Verdict:
    nic = _nic(case)
    if isinstance(nic, Unknown):
        return Verdict.unknown(nic)
    return equal(case.wanted, nic.mode)


def _lower(case: Case) -> Verdict:
    nic = _nic(case)
    if isinstance(nic, Unknown):
        return Verdict.unknown(nic)
    return equal(case.wanted, nic.lower)


def _document(case: Case) -> Verdict:
    return Verdict(case.point.same, case.point.found)


_OPENED = Rule(
    _opened, 'host-device', 'the guest has a different device, or none'
)
_PLAIN = Rule(_document, 'drift', 'the definition was changed')

RULES: Rules = {
    **{
        (f'devices/{tag}/source/address', name): _OPENED
        for tag in ('hostdev', 'interface')
        for name in ('type', 'domain', 'bus', 'slot', 'function')
    },
    ('devices/hostdev', 'mode'): _PLAIN,
    ('devices/hostdev', 'type'): _PLAIN,
    ('devices/hostdev', 'managed'): _PLAIN,
    ('devices/interface', 'managed'): _PLAIN,
    ('devices/interface', 'type'): Rule(
        _kind, 'vif-type', 'packets do not take the promised path'
    ),
    ('devices/interface/source', 'mode'): Rule(
        _mode,
        'macvtap-mode',
        'guests on one NIC see each other in a different way',
    ),
    ('devices/interface/source', 'dev'): Rule(
        _lower, 'macvtap-lower', 'the guest is on another network'
    ),
    ('devices/interface/vlan/tag', ''): Rule(
        _vlan, 'vf-vlan', 'the guest is on another network'
    ),
}
