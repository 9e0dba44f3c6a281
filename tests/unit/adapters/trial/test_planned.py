import contextlib

from lxml import etree
import testtools

from kvm_tuning import loader
from kvm_tuning.adapters.trial import planned
from kvm_tuning.adapters.trial.instance import Answer
from kvm_tuning.adapters.trial.judge import Judge
from kvm_tuning.core import domain, request
from kvm_tuning.core.documents import Flavor
from kvm_tuning.core.exceptions import Unsupported
from kvm_tuning.core.ledger import Ledger
from kvm_tuning.core.site import Policy, Site
from tests.fixtures.fake_host import FakeHost
from tests.fixtures.scenarios import GUESTS, capabilities


class Picky:
    """A libvirt that refuses every document with a text in it."""

    version = (9, 0, 0)
    alive = True

    def __init__(self, refused):
        self.refused = refused

    def define(self, xml):
        definition = domain.read(xml).root
        metadata = definition.find('metadata')
        if metadata is not None:
            definition.remove(metadata)
        if self.refused and self.refused in _text(definition):
            return Answer(None, f'{self.refused} is not for this machine')
        return Answer(xml)


class MakeTest(testtools.TestCase):
    def make(self, refused, defaults=None, vcpus=4, **specs):
        @contextlib.contextmanager
        def start():
            yield Picky(refused)

        found = domain.read((GUESTS / 'plain.xml').read_text())
        hooks = loader.load()
        asked = request.read(
            Flavor('f', '1', vcpus, 2048, 0, specs),
            None,
            loader.knobs(hooks),
            defaults=defaults,
        )
        inventory = FakeHost(
            cells=1, l3_per_cell=1, cores=8, threads=1
        ).inventory()
        policy = Policy(frozenset(range(1, 8)), frozenset({0}))
        site = Site(inventory, Ledger(), capabilities(None), policy)
        return planned.make(hooks, asked, found, site, Judge(start=start))

    def test_a_plan_that_libvirt_takes(self):
        made = self.make('', **{'kvm:page_sharing': 'false'})
        self.assertIn('<nosharepages/>', made.xml)
        codes = [each.code for each in made.plan.consequences]
        self.assertNotIn('not-judged', codes)

    def test_the_promise_that_it_refuses_is_named(self):
        error = self.assertRaises(
            Unsupported,
            self.make,
            'nosharepages',
            **{'kvm:disk_cache': 'none', 'kvm:page_sharing': 'false'},
        )
        self.assertIn("kvm:page_sharing=false (flavor 'f')", str(error))
        self.assertIn('nosharepages is not for this machine', str(error))

    def test_a_preference_that_it_refuses_is_not_kept(self):
        made = self.make(
            'nosharepages',
            {'kvm:page_sharing': 'false'},
            **{'kvm:disk_cache': 'none'},
        )
        self.assertNotIn('<nosharepages/>', made.xml)
        self.assertIn("cache='none'", made.xml)
        (unkept,) = made.plan.unkept
        self.assertEqual('kvm:page_sharing', unkept.knob)
        self.assertIn('not for this machine', unkept.reason)
        self.assertIn('kvm:page_sharing', made.xml)

    def test_a_refusal_that_no_knob_alone_causes(self):
        error = self.assertRaises(
            Unsupported,
            self.make,
            '>2</vcpu>',
            vcpus=2,
            **{'kvm:page_sharing': 'false'},
        )
        self.assertTrue(
            str(error).startswith('libvirt refuses the planned domain'), error
        )


def _text(root):
    return etree.tostring(root, encoding='unicode')
