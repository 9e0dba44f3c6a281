"""Record a release, or compare the present tree with a recording.

::

    python tools/recordings record CHECKOUT FOLDER
    python tools/recordings compare FOLDER

``compare`` prints every difference of the names, statuses and keys, and of
the sample configuration; it exits with 1 when there is one. CHECKOUT is a
tree of the release, whose commands and hooks need not be installed; FOLDER
has the inputs (``guests.yaml`` and ``kvm-tuning.conf``) and gets the rest.
"""

from pathlib import Path
import sys

# The recorders are this tree's, whatever the release has; all else is its.
sys.path[0] = str(Path(__file__).parents[2])
from tools.recordings import entry_points


def main() -> int:
    """Do what the command line says."""
    match sys.argv[1:]:
        case ['record', checkout, folder]:
            with entry_points.of(Path(checkout).resolve()):
                from tools.recordings import record

                record.record(Path(folder).resolve())
            return 0
        case ['compare', folder]:
            with entry_points.of(Path(__file__).parents[2]):
                from tools.recordings import compare

                differences = compare.exact(Path(folder))
            sys.stdout.writelines(differences)
            return int(bool(differences))
    print(__doc__)
    return 2


if __name__ == '__main__':
    sys.exit(main())
