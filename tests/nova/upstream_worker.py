"""Runs tests beside Nova: the process of :mod:`tests.nova.upstream`.

It imports them, and its workers are its children. A worker takes the next
test from a number in a file that they share, and writes down, one JSON object
a line, which test it starts and how that ended. Of a worker that dies the
parent writes it, and starts another one.
"""

import argparse
import contextlib
import fcntl
import functools
import gc
import importlib
import inspect
import json
import os
import pkgutil

# Never eventlet's.
import posix
import random
import traceback
import types
import unittest
import warnings

warnings.simplefilter('ignore')

import nova.tests.functional  # noqa: E402, F401  it patches the threads first
import nova.virt.libvirt as package  # noqa: E402
from nova.virt.libvirt import driver as stock  # noqa: E402
import testtools  # noqa: E402

from kvm_tuning.adapters.nova import (  # noqa: E402
    driver,
    scheduler_filter,
    scheduler_weigher,
    signatures,
)
from kvm_tuning.adapters.nova.compute import (  # noqa: E402
    claims,
    devices,
    host,
    tuning,
    vif,
)
from kvm_tuning.adapters.nova.fit import guest_cell, patch  # noqa: E402
from kvm_tuning.adapters.nova.scheduling import hosts  # noqa: E402
from kvm_tuning.conf import defaults  # noqa: E402
from kvm_tuning.core.demands import Locality, LocalityDemand  # noqa: E402
from kvm_tuning.core.site import Capabilities  # noqa: E402
from tests.fixtures.fake_host import FakeHost  # noqa: E402
from tests.nova import patience, upstream  # noqa: E402

#: Methods that are no wrappers: nobody calls them, by contract.
NEVER = {'_weigh_object'}

#: Workers that are replaced when they die.
MOST_DEAD = 10

_counted: dict[str, int] = {}


def count():
    """Count the calls of all that we override or wrap."""
    for cls in (
        driver.KvmTuningDriver,
        devices.DevicesDriver,
        vif.VifDriver,
        scheduler_filter.KvmTuningFilter,
        scheduler_weigher.KvmTuningWeigher,
    ):
        for name, value in list(vars(cls).items()):
            if (
                isinstance(value, types.FunctionType)
                and not name.startswith('_kvm_tuning')
                and name not in NEVER
            ):
                setattr(cls, name, _counting(f'{cls.__name__}.{name}', value))
    guest_cell.ask = _counting('guest_cell.ask', guest_cell.ask)


def _counting(label, function):
    _counted[label] = 0

    @functools.wraps(function)
    def call(*args, **kwargs):
        _counted[label] += 1
        return function(*args, **kwargs)

    # Nova's tests compare signatures.
    call.__signature__ = inspect.signature(function)
    return call


def calls():
    """Return how often each wrapper has been called in this process."""
    found = dict(_counted)
    for prefix, counts in (
        ('hardware', patch.calls),
        ('Claim', claims.calls),
        ('HostState', hosts.calls),
    ):
        for name, number in counts.items():
            found[f'{prefix}.{name}'] = number
    return found


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

    def functions(self):
        return ()

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


def install(l3_cpus, with_filter):
    """Put our driver and our fit in the place of Nova's."""
    readers = Readers(l3_cpus)
    host.ThisHost = lambda: readers
    domains = readers.inventory().l3
    locality = None
    if l3_cpus:
        locality = LocalityDemand(Locality.L3, False, 'the test run')
        defaults.knobs = lambda conf: {'kvm:cpu_locality': 'l3'}
    tuning.reader()
    signatures.check()
    driver._checked.append(True)
    patch.install(domains=domains, locality=locality)
    package.LibvirtDriver = driver.KvmTuningDriver
    claims.uninstall = lambda: None
    if with_filter:
        _install_filter()
    return Module(driver.KvmTuningDriver)


def _install_filter():
    """Let our filter be what Nova's tests enable, and spy on, by the name of
    its own.
    """
    from nova.scheduler.filters import numa_topology_filter

    numa_topology_filter.NUMATopologyFilter = type(
        'NUMATopologyFilter',
        (scheduler_filter.KvmTuningFilter,),
        {'__module__': numa_topology_filter.__name__},
    )


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
            if proxy is not None and value is stock:
                setattr(module, name, proxy)
        tests += testtools.iterate_tests(loader.loadTestsFromModule(module))
    return tests


class Shared:
    """A number in a file, taken and raised by one process at a time."""

    def __init__(self, path):
        self._file = os.open(path, os.O_RDWR)

    def take(self):
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            number = int(os.pread(self._file, 20, 0))
            os.pwrite(self._file, str(number + 1).encode(), 0)
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        return number


class Result(testtools.TestResult):
    """Keeps how the last test ended."""

    def __init__(self):
        super().__init__()
        self.outcome('failed', 'it said nothing')

    def outcome(self, status, why=''):
        self.status, self.why = status, why

    def addSuccess(self, test, details=None):
        self.outcome('passed')

    def addExpectedFailure(self, test, err=None, details=None):
        self.outcome('passed')

    def addSkip(self, test, reason=None, details=None):
        super().addSkip(test, reason, details)
        self.outcome('skipped', next(iter(self.skip_reasons), ''))

    def addFailure(self, test, err=None, details=None):
        super().addFailure(test, err, details)
        self.outcome('failed', self.failures[-1][1])

    def addError(self, test, err=None, details=None):
        super().addError(test, err, details)
        self.outcome('failed', self.errors[-1][1])

    def addUnexpectedSuccess(self, test, details=None):
        self.outcome('failed', 'it passes, and should not')


class Records:
    """A worker's file."""

    def __init__(self, folder, number):
        self._path = f'{folder}/records.{number}'

    def write(self, **record):
        with open(self._path, 'a') as file:
            file.write(json.dumps(record) + '\n')


def work(tests, shared, records):
    """Run the tests that are this worker's."""
    parent = os.getppid()
    # Whom it has left behind works for nobody.
    while (number := shared.take()) < len(tests) and os.getppid() == parent:
        test, tests[number] = tests[number], None
        records.write(start=test.id())
        result = Result()
        result.startTestRun()
        test(result)
        result.stopTestRun()
        records.write(
            end=test.id(),
            status=result.status,
            why=result.why,
            calls=calls(),
        )


def _unshare():
    """Wait for events of one's own: children of a process share its epoll
    object, and would take each other's.
    """
    if upstream.THREADS not in os.environ:
        # Nova lets nobody import it where it is not used.
        from eventlet import hubs

        hubs.use_hub()


def deal(tests, folder, workers):
    """Run the tests in so many children."""
    shared = os.path.join(folder, 'next')
    with open(shared, 'w') as file:
        file.write('0')
    gc.collect()
    gc.freeze()
    running = {}

    def start(number):
        records = Records(folder, number)
        pid = posix.fork()
        if not pid:
            with contextlib.suppress(BaseException):
                random.seed()
                _unshare()
                records.write(pid=os.getpid(), total=len(tests))
                work(tests, Shared(shared), records)
                # Nova leaves threads behind.
                os._exit(0)
            traceback.print_exc()
            os._exit(1)
        running[pid] = records

    for number in range(workers):
        start(number)
    dead = 0
    while running:
        pid, status = posix.wait()
        records = running.pop(pid)
        if not status:
            continue
        records.write(died=os.waitstatus_to_exitcode(status))
        if dead < MOST_DEAD:
            dead += 1
            start(workers + dead)


def main():
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder')
    parser.add_argument('--l3', type=int, default=0)
    parser.add_argument('--workers', type=int)
    parser.add_argument('--filter', action='store_true')
    parser.add_argument('--only')
    parser.add_argument('--own', action='store_true')
    parser.add_argument('names', nargs='+')
    args = parser.parse_args()
    count()
    patience.install()
    proxy = None if args.own else install(args.l3, args.filter)
    tests = suite(args.names, proxy)
    if args.only:
        with open(args.only) as file:
            only = set(file.read().split())
        tests = [test for test in tests if test.id() in only]
    deal(tests, args.folder, args.workers)
    os._exit(0)


if __name__ == '__main__':
    main()
