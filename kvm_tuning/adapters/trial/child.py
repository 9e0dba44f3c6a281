"""The process in which a throw-away libvirt runs.

It opens ``qemu:///embed`` in a folder of its own, defines each document that
comes in, and answers with what libvirt made of it. libvirt 9.0 aborts the
process on some documents; then nobody but this process dies.

Run as ``python -m kvm_tuning.adapters.trial.child ROOT``. Each line of
standard input is a JSON object ``{"xml": "<domain ..."}``; each line of
standard output is ``{"xml": "...", "error": null}`` or ``{"xml": null,
"error": "..."}``. The first line of output is ``{"version": 9000000}``, or
``{"error": "..."}`` when libvirt does not open.
"""

import contextlib
import ctypes
import importlib
import json
import os
import resource
import shutil
import signal
import sys
from typing import Any

# libvirt-domain.h, parts of its ABI: the definition, with its passwords.
_SECURE_INACTIVE = 1 | 2
# Undefining must not delete what belongs to the guest.
_KEEP_NVRAM = 8
_KEEP_TPM = 64
# VIR_DOMAIN_UNDEFINE_KEEP_TPM came with it (libvirt's news of 8.9.0).
_HAS_KEEP_TPM = 8_009_000

# linux/prctl.h
_PR_SET_CHILD_SUBREAPER = 36

_GIB = 1024**3
#: QEMU, which libvirt starts to ask it what it can do, has these limits, too.
_LIMITS = (
    (resource.RLIMIT_AS, 8 * _GIB),
    (resource.RLIMIT_CPU, 600),
    (resource.RLIMIT_FSIZE, _GIB // 16),
    (resource.RLIMIT_CORE, 0),
    # A daemon that starts closes each that it could have open.
    (resource.RLIMIT_NOFILE, 4096),
)


def main(root: str) -> int:
    """Serve one parent until it closes its end."""
    for which, limit in _LIMITS:
        hard = resource.getrlimit(which)[1]
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        resource.setrlimit(which, (limit, limit))
    # What libvirt and QEMU print is not an answer of ours.
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    try:
        libvirt: Any = importlib.import_module('libvirt')
    except ImportError as error:
        _write(answers, error=f'libvirt cannot be imported: {error}')
        return 1
    libvirt.registerErrorHandler(lambda context, error: None, None)
    # The embedded driver wants an event loop to be registered, and never
    # needs it to turn for a definition.
    libvirt.virEventRegisterDefaultImpl()
    try:
        connection = libvirt.open(f'qemu:///embed?root={root}')
        version = int(connection.getLibVersion())
    except libvirt.libvirtError as error:
        _write(answers, error=_message(error))
        return 1
    _write(answers, version=version)
    flags = _KEEP_NVRAM | (_KEEP_TPM if version >= _HAS_KEEP_TPM else 0)
    for line in sys.stdin:
        try:
            domain = connection.defineXML(json.loads(line)['xml'])
            xml = domain.XMLDesc(_SECURE_INACTIVE)
        except libvirt.libvirtError as error:
            _write(answers, xml=None, error=_message(error))
            continue
        # Before the answer: what a document has broken may show only now.
        gone = _undefine(domain, flags, libvirt.libvirtError)
        _write(answers, xml=xml, error=None)
        if not gone:
            return 1
    return 0


def _undefine(domain: Any, flags: int, error: type[Exception]) -> bool:
    """Return whether a domain is gone: a leftover would meet the next one."""
    try:
        domain.undefineFlags(flags)
    except error:
        return False
    return True


def _write(file: Any, **answer: Any) -> None:
    file.write(f'{json.dumps(answer)}\n')
    file.flush()


def _message(error: Exception) -> str:
    return ' '.join(str(error).split())


def reaping(root: str) -> int:
    """Serve in a child, and reap what is orphaned below it.

    The QEMU that libvirt asks is a daemon. libvirt kills it and waits until
    it is gone, which it never is where nobody reaps orphans, as in a
    container whose first process does not.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    served = os.fork()
    if not served:
        with contextlib.suppress(BrokenPipeError):
            os._exit(main(root))
        os._exit(1)
    pid = status = 0
    while pid != served:
        pid, status = os.wait()
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        # Its parent removes it, too, unless it was killed.
        shutil.rmtree(root, ignore_errors=True)
        return code
    # As it died, so that the parent sees it.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
    return code


if __name__ == '__main__':
    sys.exit(reaping(sys.argv[1]))
