"""Makes Nova's or Neutron's tables: "python schemas.py SERVICE FOLDER".

All steps of a service in one interpreter: its imports take seconds.
"""

import os
from pathlib import Path
import sys


def nova(etc: Path) -> None:
    """Make the API's and the cells' tables, and map the cells."""
    os.environ['OS_NOVA_DISABLE_EVENTLET_PATCHING'] = '1'
    arguments = ['nova-manage', '--config-file', str(etc / 'nova/nova.conf')]
    # First: it decides how the process runs threads
    from nova.cmd import manage  # noqa: I001

    from nova import config, context, objects
    import nova.conf

    config.parse_args(arguments)
    objects.register_all()
    cell1 = nova.conf.CONF.database.connection
    manage.ApiDbCommands().sync()
    manage.CellV2Commands().map_cell0(
        database_connection=cell1.replace('nova_cell1', 'nova_cell0')
    )
    manage.DbCommands().sync()
    cells = objects.CellMappingList.get_all(context.get_admin_context())
    if 'cell1' not in [cell.name for cell in cells]:
        manage.CellV2Commands().create_cell(name='cell1')


def neutron(etc: Path) -> None:
    """Make the tables as the models have them, and mark them as the newest:
    the chain of migrations takes ten times as long.
    """
    from neutron.db.migration import cli
    from neutron.db.migration.models import head
    from oslo_config import cfg
    import sqlalchemy

    file = str(etc / 'neutron/neutron.conf')
    sys.argv = ['neutron-db-manage', '--config-file', file, 'stamp', 'heads']
    parsed = cfg.ConfigOpts()
    parsed.register_opt(cfg.StrOpt('connection'), 'database')
    parsed(['--config-file', file])
    engine = sqlalchemy.create_engine(parsed.database.connection)
    if not sqlalchemy.inspect(engine).has_table('alembic_version'):
        head.get_metadata().create_all(engine)
        cli.main()


if __name__ == '__main__':
    {'nova': nova, 'neutron': neutron}[sys.argv[1]](Path(sys.argv[2]))
