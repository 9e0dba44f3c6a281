"""Runs Neutron's agent for macvtap, which forks once it has looked at its
ports with the help of privsep.

The thread that reads what the helper answers stays behind in the parent, so
that the first call of the child would wait for ever (neutron 29 with the
threads of oslo.service 4). The child here asks for a helper of its own.
"""

import sys

from neutron import privileged
from neutron.cmd.plugins import macvtap_neutron_agent

_service = macvtap_neutron_agent.agent_main.service
_launch = _service.launch


def _launch_alone(*words, **options):
    privileged.default.stop()
    return _launch(*words, **options)


_service.launch = _launch_alone
sys.exit(macvtap_neutron_agent.main())
