"""Receipts that we could not have written, by what is wrong with them."""

import testtools

from kvm_tuning.core import receipt_check
from kvm_tuning.core.edit import Promise, Removal
from kvm_tuning.core.effects import Phase, Scope, Setting
from kvm_tuning.core.ledger import Claim
from kvm_tuning.core.receipt import Receipt
from kvm_tuning.core.xml.remade import Remade
from kvm_tuning.core.xml.tree import Removed


def receipt(*promises, **more):
    return Receipt('test', promises=promises, **more)


def setting(kind='sysfs', name='x', value='1'):
    return Setting(kind, name, value, Scope.INSTANCE, Phase.BEFORE_START)


def removed(xml='<a/>', position=0, before=None, after=None):
    return Removal('a', (Removed(position, xml, before, after),))


def promise(path='vcpu', wanted=None, made=0):
    wanted = {'cpuset': '0'} if wanted is None else wanted
    return Promise(path, wanted, dict.fromkeys(wanted), made)


def claim(**values):
    return receipt(claim=Claim('a', 'a', **values))


def remade(parent='', made=(), lost=()):
    return receipt(remade=(Remade(parent, made, lost),))


class CheckTest(testtools.TestCase):
    def assert_refused(self, found, words):
        error = self.assertRaises(ValueError, receipt_check.check, found)
        self.assertIn(words, str(error))

    def test_what_we_write_is_taken(self):
        most = receipt_check.MOST_NUMBER
        for found in (
            receipt(promise(), removed(), settings=(setting(),)),
            receipt(promise(made=1)),
            receipt(promise('a/b/c', made=3)),
            claim(pages={(0, 2048): most}, memory_kib={0: most}),
            claim(devices=frozenset({'nic/eth0'})),
            remade('devices', ('<a/>',), removed().removed),
            receipt(promise('x', {'#text': 'y' * receipt_check.MOST_XML})),
            receipt(removed(before='\t\n ', after='é')),
        ):
            receipt_check.check(found)

    def test_promises(self):
        for found, words in (
            (promise(made=2), 'has not 2 steps'),
            (promise(made=-1), 'has not -1 steps'),
            (promise(wanted={'a b': '1'}), 'is not an attribute'),
            (promise(wanted={'': '1'}), 'is not an attribute'),
            (
                promise(wanted={'a': 'y' * (receipt_check.MOST_XML + 1)}),
                "'vcpu' is too long",
            ),
            (promise('/'.join('a' * 17)), 'is too long'),
            (promise('a' * (receipt_check.MOST_TEXT + 1)), 'is too long'),
            (
                promise("cputune/vcpupin[@vcpu='0']", {'cpuset': 'x'}),
                '',
            ),
            (promise("cputune/vcpupin[@vcpu='x']"), ''),
        ):
            self.assert_refused(receipt(found), words)
        receipt_check.check(receipt(promise('/'.join('a' * 16))))
        receipt_check.check(receipt(promise('a' * receipt_check.MOST_TEXT)))

    def test_what_was_found_is_not_too_long(self):
        long = 'y' * (receipt_check.MOST_XML + 1)
        found = Promise('vcpu', {'cpuset': '0'}, {'cpuset': long})
        self.assert_refused(receipt(found), 'is too long')

    def test_elements(self):
        most = receipt_check.MOST_XML
        for found, words in (
            (removed('<a>'), 'is not an element'),
            (removed('<!DOCTYPE a><a/>'), 'has a document type'),
            (
                removed('y' * (most + 1)),
                f'an element of {most + 1} characters',
            ),
            (removed(position=-1), 'the number -1'),
            (removed(before='\0'), 'cannot be in a document'),
            (removed(after='\ufffe'), 'cannot be in a document'),
        ):
            self.assert_refused(receipt(found), words)

    def test_settings(self):
        long = 'y' * (receipt_check.MOST_TEXT + 1)
        for found in (
            setting(kind='a\n'), setting(name='\x1b'), setting(value=long),
        ):  # fmt: skip
            self.assert_refused(
                receipt(settings=(found,)), 'is not a name or value of ours'
            )
        for name in ('..', 'a/../b', '../a'):
            self.assert_refused(
                receipt(settings=(setting(name=name),)), 'climbs'
            )
        receipt_check.check(receipt(settings=(setting(name='a..b/c'),)))

    def test_claims(self):
        large = receipt_check.MOST_NUMBER + 1
        for found in (
            claim(shared_vcpus=large),
            claim(shared_vcpus=-1),
            claim(pages={(0, large): 1}),
            claim(pages={(0, 4): large}),
            claim(memory_kib={large: 1}),
            claim(memory_kib={0: large}),
        ):
            self.assert_refused(found, 'the number ')
        self.assert_refused(
            claim(devices=frozenset({'a\n'})), 'is not a name or value of ours'
        )

    def test_what_libvirt_has_made(self):
        self.assert_refused(remade('os'), "'os' is not a parent")
        self.assert_refused(remade(made=('<a>',)), 'is not an element')
        self.assert_refused(
            remade(lost=removed('<a>').removed), 'is not an element'
        )

    def test_more_of_a_kind_than_any_guest_has(self):
        most = receipt_check.MOST
        for more, words in (
            ({'settings': (setting(),)}, 'settings'),
            ({'asked': (None,)}, 'keys'),
            ({'unkept': (None,)}, 'preferences'),
        ):
            ((name, each),) = more.items()
            self.assert_refused(
                receipt(**{name: each * (most + 1)}),
                f'more than {most} {words}',
            )
        self.assert_refused(
            receipt(*[promise()] * (most + 1)), f'more than {most} promises'
        )
        self.assert_refused(
            claim(devices=frozenset(map(str, range(most + 1)))),
            f'more than {most} devices',
        )
        receipt_check.check(receipt(*[promise()] * most))

    def test_a_text(self):
        self.assertEqual('x', receipt_check.text('"x"'))
        for nothing in (None, '', 'null'):
            self.assertIsNone(receipt_check.text(nothing))
        for other in ('1', '[]', 'true', '{}', '"'):
            self.assertRaises(ValueError, receipt_check.text, other)
