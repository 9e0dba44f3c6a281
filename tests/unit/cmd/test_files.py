"""Directories of live documents, as --domains takes them."""

import os

import fixtures
import testtools

from kvm_tuning.cmd import files
from kvm_tuning.core.exceptions import WrongUsage
from tests.fixtures import domain_store


class DomainsTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path

    def put(self, name, text):
        with open(os.path.join(self.folder, name), 'w') as file:
            file.write(text)

    def test_documents_alone_are_read_by_name(self):
        self.put('b.xml', domain_store.xml('second'))
        self.put('a.xml', domain_store.xml('first'))
        self.put('c.xml.orig', domain_store.xml('third'))
        self.put('notes', 'not a document')
        found, notes = files.domains(self.folder)
        self.assertEqual(['first', 'second'], [each.name for each in found])
        self.assertEqual([], notes)
        self.assertTrue(all(each.live and each.uuid for each in found))
        self.assertEqual([None, None], [each.defined for each in found])

    def test_what_is_left_out_is_named(self):
        self.put('a.xml', domain_store.xml('first'))
        self.put('b.xml', '<domain')
        os.mkdir(os.path.join(self.folder, 'c.xml'))
        found, notes = files.domains(self.folder)
        self.assertEqual(['first'], [each.name for each in found])
        self.assertEqual(2, len(notes))
        for name, note in zip(('b.xml', 'c.xml'), notes, strict=True):
            path = os.path.join(self.folder, name)
            self.assertTrue(note.startswith(f'{path} is left out: '), note)

    def test_no_directory(self):
        path = os.path.join(self.folder, 'none')
        error = self.assertRaises(WrongUsage, files.domains, path)
        self.assertEqual(
            f'--domains {path}: No such file or directory', str(error)
        )
