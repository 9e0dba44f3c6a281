"""Runs Nova's own tests with our driver in the place of LibvirtDriver.

    python -m tests.nova.upstream [--l3 CPUS] NAME...

NAME is a module or a package of Nova's tests. Our fit answers every call,
also those of tests that have no driver. With ``--l3`` hosts show L3 domains of
so many CPUs and prefer L3 locality for every guest.

The last lines are the totals, how often each of our wrappers was called, and
what was skipped, with the reason. The exit status is 0 when nothing failed.
"""

import argparse
import collections
import functools
import importlib
import inspect
import os
import pkgutil
import sys
import types
import unittest
import warnings

warnings.simplefilter('ignore')

import nova.tests.functional  # noqa: E402, F401  it patches the threads first
import nova.virt.libvirt as package  # noqa: E402
from nova.virt.libvirt import driver as stock  # noqa: E402
import testtools  # noqa: E402

from kvm_tuning.adapters.nova import (  # noqa: E402
    claims,
    driver,
    packing,
    signatures,
    stand,
    tuning,
    vif,
)
from kvm_tuning.core.demands import Locality, LocalityDemand  # noqa: E402
from kvm_tuning.core.site import Capabilities  # noqa: E402
from tests.fixtures.fake_host import FakeHost  # noqa: E402

#: Nova's tests that cannot be right here, by name, with the reason.
DIFFERENT: dict[str, str] = {}

calls: collections.Counter[str] = collections.Counter()


def counted(cls):
    """Return a subclass that counts the calls of what ``cls`` overrides."""
    made = {}
    for name, value in vars(cls).items():
        if isinstance(value, types.FunctionType) and not name.startswith(
            '_kvm_tuning'
        ):
            made[name] = _counting(f'{cls.__name__}.{name}', value)
    return type(cls.__name__, (cls,), made)


def _counting(label, function):
    calls[label] += 0

    @functools.wraps(function)
    def call(*args, **kwargs):
        calls[label] += 1
        return function(*args, **kwargs)

    # Nova's tests compare signatures.
    call.__signature__ = inspect.signature(function)
    return call


class Readers:
    """A host of no particular kind."""

    def __init__(self, l3_cpus):
        self.host = FakeHost(
            cells=1,
            l3_per_cell=256 // l3_cpus if l3_cpus else 0,
            cores=l3_cpus or 16,
            threads=1,
        )

    def inventory(self):
        return self.host.inventory()

    def capabilities(self, libvirt, qemu):
        return Capabilities()


class Module(types.ModuleType):
    """Nova's driver module with our driver in it, for tests that import it.

    (Nova's own module keeps its class: its methods name it.)
    """

    def __init__(self, found):
        super().__init__(stock.__name__)
        self.__dict__['LibvirtDriver'] = found

    def __getattr__(self, name):
        return getattr(stock, name)

    def __setattr__(self, name, value):
        setattr(stock, name, value)

    def __delattr__(self, name):
        delattr(stock, name)


def install(l3_cpus):
    """Put our driver and our fit in the place of Nova's."""
    from kvm_tuning.adapters.nova import site

    readers = Readers(l3_cpus)
    site.ThisHost = lambda: readers
    domains = readers.inventory().l3
    locality = None
    if l3_cpus:
        locality = LocalityDemand(Locality.L3, False, 'the test run')
        _prefer_l3()
    tuning.reader()
    signatures.check()
    driver._checked.append(True)
    packing.install(domains=domains, locality=locality)
    vif.VifDriver = counted(vif.VifDriver)
    found = counted(driver.KvmTuningDriver)
    package.LibvirtDriver = found
    claims.uninstall = lambda: None
    stand.ask = _counting('stand.ask', stand.ask)
    return Module(found)


def _prefer_l3():
    from kvm_tuning.conf import defaults

    defaults.knobs = lambda conf: {'kvm:cpu_locality': 'l3'}


def modules(names):
    """Yield every test module that the names stand for."""
    for name in names:
        found = importlib.import_module(name)
        if not hasattr(found, '__path__'):
            yield found
            continue
        for each in pkgutil.walk_packages(found.__path__, name + '.'):
            if each.name.rpartition('.')[2].startswith('test_'):
                yield importlib.import_module(each.name)


def suite(names, proxy):
    """Return the tests of the modules, theirs of Nova's driver made ours."""
    loader = unittest.TestLoader()
    tests = []
    for module in modules(names):
        for name, value in list(vars(module).items()):
            if value is stock:
                setattr(module, name, proxy)
        tests += testtools.iterate_tests(loader.loadTestsFromModule(module))
    return tests


class Result(testtools.TestResult):
    """Prints what fails as it comes, and counts."""

    def __init__(self):
        super().__init__()
        self.passed = 0
        self.bad = []

    def addSuccess(self, test, details=None):
        super().addSuccess(test, details)
        self.passed += 1

    def addFailure(self, test, err=None, details=None):
        super().addFailure(test, err, details)
        self._say('FAIL', test)

    def addError(self, test, err=None, details=None):
        super().addError(test, err, details)
        self._say('ERROR', test)

    def addUnexpectedSuccess(self, test, details=None):
        super().addUnexpectedSuccess(test, details)
        self._say('UNEXPECTED SUCCESS', test)

    def addExpectedFailure(self, test, err=None, details=None):
        super().addExpectedFailure(test, err, details)
        self.passed += 1

    def _say(self, what, test):
        self.bad.append(test.id())
        print(f'{what}: {test.id()}', flush=True)


def main():
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--l3', type=int, default=0, metavar='CPUS')
    parser.add_argument('--details', metavar='FILE')
    parser.add_argument('names', nargs='+', metavar='NAME')
    args = parser.parse_args()
    proxy = install(args.l3)
    result = Result()
    result.startTestRun()
    different = []
    for test in suite(args.names, proxy):
        if test.id() in DIFFERENT:
            different.append(test.id())
            continue
        test(result)
    result.stopTestRun()
    if args.details:
        with open(args.details, 'w') as details:
            for test, text in result.failures + result.errors:
                details.write(f'==== {test.id()}\n{text}\n')
    for reason, tests in result.skip_reasons.items():
        for test in tests:
            print(f'skipped: {test.id()}: {reason}')
    for name in different:
        print(f'different: {name}: {DIFFERENT[name]}')
    for label, number in sorted(packing.calls.items()):
        calls[label] = number
    for label, number in sorted(claims.calls.items()):
        calls[f'Claim.{label}'] = number
    for label, number in sorted(calls.items()):
        print(f'calls: {label} {number}')
    skipped = sum(map(len, result.skip_reasons.values()))
    print(
        f'{result.passed} passed, {len(result.bad)} failed, '
        f'{skipped + len(different)} skipped'
    )
    sys.stdout.flush()
    # Nova leaves threads behind.
    os._exit(1 if result.bad else 0)


if __name__ == '__main__':
    main()
