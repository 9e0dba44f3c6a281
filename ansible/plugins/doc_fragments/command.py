# Copyright kvm-tuning contributors
# Apache License 2.0 (see https://www.apache.org/licenses/LICENSE-2.0)

"""The documentation that all modules share."""


class ModuleDocFragment:
    """Options of every module."""

    DOCUMENTATION = r"""
author:
  - kvm-tuning contributors (@kvm-tuning)
options:
  config_file:
    description: Read this configuration instead of the default ones.
    type: path
  executable:
    description: The program, by its path or its name.
    type: path
    default: kvm-tuning
"""

    #: Of the modules that look at guests and change nothing.
    GUESTS = r"""
options:
  names:
    description: Names or UUIDs of guests; none are all.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Changes nothing.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""
