"""Sphinx's configuration."""

project = 'kvm-tuning'
copyright = 'kvm-tuning developers'
extensions = [
    'openstackdocstheme',
    'oslo_config.sphinxext',
    'oslo_config.sphinxconfiggen',
]
html_theme = 'openstackdocs'
pygments_style = 'native'

openstackdocs_auto_name = False
# Neither a host of published pages nor a bug tracker: nothing to link to.
openstackdocs_auto_version = False
openstackdocs_use_storyboard = False
openstackdocs_bug_project = ''
version = release = ''

config_generator_config_file = [
    ('../../etc/kvm_tuning/config-generator.conf', '_static/kvm-tuning'),
]

# The network is not asked for anything during a build.
intersphinx_mapping = {}
