"""Asks netplan's own code for VFs: run by the system's Python, which has it.

Reads a JSON list of [root, interfaces], where interfaces has the MAC address
and the driver of each; writes the number of VFs by interface, or why netplan
does not take the files.
"""

from collections import defaultdict
import json
import sys

sys.path.insert(0, '/usr/share/netplan')

try:
    from netplan import libnetplan
    from netplan.cli import sriov, utils
except ImportError:
    import netplan as libnetplan
    from netplan_cli.cli import sriov, utils


def judge(root, interfaces):
    utils.get_interface_macaddress = lambda name: interfaces[name][0]
    utils.get_interface_driver_name = lambda name, *_rest: interfaces[name][1]
    parser = libnetplan.Parser()
    parser.load_yaml_hierarchy(root)
    state = libnetplan.State()
    state.import_parser_results(parser)
    counts = defaultdict(int)
    sriov.get_vf_count_and_functions(list(interfaces), state, counts, {}, {})
    return dict(counts)


def main():
    found = []
    for root, interfaces in json.load(sys.stdin):
        try:
            found.append(judge(root, interfaces))
        except Exception as error:
            found.append(str(error) or type(error).__name__)
    json.dump(found, sys.stdout)


main()
