"""Sphinx's configuration."""

import shutil

project = 'kvm-tuning'
copyright = 'kvm-tuning developers'
extensions = [
    'oslo_config.sphinxext',
    'oslo_config.sphinxconfiggen',
    'cliff.sphinxext',
    'kvm_tuning.sphinxext',
    'sphinx.ext.graphviz',
]
# Graphviz as it is installed, or what doc/requirements.txt brings.
graphviz_dot = shutil.which('dot') or 'graphviz-pure'
graphviz_output_format = 'svg'
html_theme = 'alabaster'
# Wide enough for the drawings and for an output of 100 columns.
html_theme_options = {'page_width': '1240px'}

version = release = ''
# An option is copied as it is typed: two hyphens stay two hyphens.
smartquotes = False

# ``sphinx-build -b man`` makes them of the pages that the site has.
man_pages = [
    (
        'cli/index',
        'kvm-tuning',
        'tune KVM guests and their hosts, and audit them',
        copyright,
        1,
    ),
    (
        'admin/host_prep',
        'kvm-tuning-host-prep',
        'prepare a host for its guests',
        copyright,
        8,
    ),
    (
        'configuration/index',
        'kvm-tuning.conf',
        'options of kvm-tuning',
        copyright,
        5,
    ),
]

config_generator_config_file = [
    ('../../etc/kvm_tuning/config-generator.conf', '_static/kvm-tuning'),
]

# The network is not asked for anything during a build.
intersphinx_mapping = {}
