import os

import setuptools

# pbr reads the version and the list of files from git, and git refuses a
# checkout that belongs to somebody else (a container's bind mount, a clone
# made by root). Who runs this file trusts the checkout already: say so to
# git, for this process alone.
_count = int(os.environ.get('GIT_CONFIG_COUNT', '0'))
os.environ[f'GIT_CONFIG_KEY_{_count}'] = 'safe.directory'
os.environ[f'GIT_CONFIG_VALUE_{_count}'] = os.path.dirname(
    os.path.abspath(__file__)
)
os.environ['GIT_CONFIG_COUNT'] = str(_count + 1)

setuptools.setup(setup_requires=['pbr>=6.1.1'], pbr=True)
