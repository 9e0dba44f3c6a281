"""Plan Nova's guests and write the plans into their XML."""

from dataclasses import dataclass, field, replace
import functools
from typing import Any

from lxml import etree
from nova import exception

from kvm_tuning.adapters.nova.compute import expected_guest, timing
from kvm_tuning.adapters.nova.compute import request as requests
from kvm_tuning.adapters.nova.compute.host import Host
from kvm_tuning.adapters.nova.compute.overlaps import Overlap
from kvm_tuning.adapters.nova.compute.request import Reader
from kvm_tuning.conf import defaults, profiles
from kvm_tuning.core import domain, plan, queue_budget
from kvm_tuning.core import guest as guests
from kvm_tuning.core.effects import Absent, Element
from kvm_tuning.core.guest import Guest
from kvm_tuning.core.plan import Plan
from kvm_tuning.core.site import Site
from kvm_tuning.host import configuration


@dataclass(frozen=True)
class Tuning:
    """Tunes the guests of one nova-compute."""

    reader: Reader
    host: Host
    #: By node: what its last audit found, where servers hold one pCPU.
    overlaps: dict[str, Overlap] = field(default_factory=dict)

    def xml(self, instance: Any, image_meta: Any, xml: str) -> str:
        """Return the XML of a guest as its flavor requests; unchanged if
        nothing of ours is requested.

        :raises KvmTuningError: a request cannot be kept.
        """
        if not self.concerns(instance):
            return xml
        found = domain.read(xml)
        return domain.tune(found, self.plan(instance, image_meta, found.guest))

    def arrived(self, instance: Any, image_meta: Any, xml: str) -> str:
        """Return the XML of a guest that has come from another host, running:
        as :meth:`xml`, with the queues that it has.

        :raises KvmTuningError: a request cannot be kept.
        """
        found = domain.read(xml)
        request = self.reader.read(instance.flavor, image_meta).request
        site = self.host.site(request, found.guest)
        queues = queue_budget.given(request, found.current)
        if queues is not None:
            site = replace(
                site,
                capabilities=replace(site.capabilities, tap_queues=queues),
            )
        return domain.tune(
            found, self.plan(instance, image_meta, found.guest, site)
        )

    def into(self, config: Any, instance: Any, image_meta: Any) -> Any:
        """Return a guest's configuration that writes its XML as the flavor
        requests; the very same object if nothing of ours is requested.

        The elements are changed before they become text, so that nothing is
        written or parsed twice.

        :param config: a ``LibvirtConfigGuest`` of an instance; its ``to_xml``
            raises KvmTuningError where a request cannot be kept.
        """
        if not self.concerns(instance):
            return config
        stock = config.format_dom

        def format_dom() -> etree._Element:
            root: etree._Element = stock()
            with timing.told('tuned', instance.uuid):
                made = self.plan(instance, image_meta, guests.read(root))
                domain.tune_tree(root, made)
            return root

        config.format_dom = format_dom
        return config

    def concerns(self, instance: Any, *, after_claim: bool = False) -> bool:
        """Return whether anything of ours is requested for an instance; for
        one whose flavor cannot be found, only the host's preferences count.

        :param after_claim: leave out what Nova's claim has kept already.
        """
        try:
            flavor = instance.flavor
        except (AttributeError, exception.OrphanedObjectError):
            flavor = None
        return self.reader.asks(flavor, after_claim=after_claim)

    def plan(
        self,
        instance: Any,
        image_meta: Any,
        guest: Guest,
        site: Site | None = None,
    ) -> Plan:
        """Return the plan of a guest that Nova has placed.

        :param site: of a host other than this one.
        :raises KvmTuningError: a request cannot be kept.
        """
        prepared = self.reader.read(instance.flavor, image_meta)
        return plan.of(
            prepared, guest, site or self.host.site(prepared.request, guest)
        )

    def check(self, flavor: Any, image_meta: Any, numa: Any) -> None:
        """Check, before anything is created, that this host can keep what a
        flavor requests of it.

        :param numa: the claimed ``InstanceNUMATopology``; None for none.
        :raises KvmTuningError: it cannot.
        """
        if not self.reader.asks(flavor):
            return
        request = self.reader.read(flavor, image_meta).request.at_claim()
        guest = expected_guest.guest(flavor, numa)
        plan.make(
            self.reader.hooks,
            request,
            guest,
            self.host.site(request, replace(guest, disks=())),
            placed=True,
        )


def load(libvirt: Any) -> Tuning:
    """Return the tuning for the guests of this host.

    :raises KvmTuningError: its configuration is wrong, or a hook is broken.
    """
    return Tuning(reader(), Host(libvirt))


@functools.cache
def reader() -> Reader:
    """Return the reader of this process: configuration and hooks are read
    once, when nova-compute starts.

    :raises KvmTuningError: as :func:`load`.
    """
    options = configuration.load()
    without = requests.reader({}, {})
    found = profiles.read(without.knobs, options.defaults.profiles_dir)
    return replace(
        without,
        profiles=profiles.texts(found.values()),
        defaults=defaults.knobs(options),
    )


def effects_below(made: Plan, path: str) -> list[Element | Absent]:
    """Return what a plan wants of one device, with paths below it."""
    return [
        replace(effect, path=effect.path.removeprefix(path + '/'))
        for effect in made.effects
        if isinstance(effect, Element | Absent)
        and effect.path.startswith(path + '/')
    ]
