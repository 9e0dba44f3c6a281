"""Sphinx's configuration."""

import re
import shutil

project = 'kvm-tuning'
copyright = 'kvm-tuning developers'
extensions = [
    'openstackdocstheme',
    'oslo_config.sphinxext',
    'oslo_config.sphinxconfiggen',
    'cliff.sphinxext',
    'kvm_tuning.sphinxext',
    'sphinx.ext.graphviz',
]
# Graphviz as it is installed, or what doc/requirements.txt brings.
graphviz_dot = shutil.which('dot') or 'graphviz-pure'
graphviz_output_format = 'svg'
# What operators of Nova know. It is not part of OpenStack, and says so.
html_theme = 'openstackdocs'
html_theme_options = {
    'analytics_tracking_code': '',
    'display_badge': False,
}
templates_path = ['_templates']
html_static_path = ['_static']
html_favicon = '_static/favicon.svg'
html_css_files = ['kvm-tuning.css']
html_copy_source = False
openstackdocs_auto_name = False

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
        'admin/vendordata',
        'kvm-tuning-vendordata',
        'serve the vendordata of guests',
        copyright,
        8,
    ),
    (
        'install/openstack',
        'kvm-tuning-nova-compute',
        'run nova-compute where its packages load no plugin',
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

_DRAWING = re.compile(
    r'(<object data="[^"]*" type="[^"]*" class="graphviz")'
    r'(>\s*<p class="warning">([^<]*)</p>)'
)


def _name_drawings(app, page, template, context, doctree):
    """Give each drawing its ``:alt:`` as a name that screen readers say."""
    if 'body' in context:
        context['body'] = _DRAWING.sub(
            r'\1 aria-label="\3"\2', context['body']
        )


def setup(app):
    """Called by Sphinx."""
    app.connect('html-page-context', _name_drawings)
