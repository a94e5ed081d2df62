"""Job accounting for the test Slurm: a MariaDB database and slurmdbd in the same folder."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

DAEMONS = ("mariadbd", "slurmdbd")
PROGRAMS = (*DAEMONS, "mariadb-install-db", "sacct", "sacctmgr")
CLUSTER = "tenant"
ACCOUNT = "lab"
NONE = "AccountingStorageType=accounting_storage/none"

CONTROLLER = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={root}/munge.socket
AccountingStorageEnforce=associations
AccountingStorageTRES=gres/gpu
"""

DATABASE_DAEMON = """
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database_port}
StorageUser=root
StorageLoc=accounting
PidFile={root}/slurmdbd.pid
LogFile={root}/slurmdbd.log
CommunicationParameters=NoInAddrAny
"""


def start_database(root: Path, port: int, start: Callable[..., None]) -> None:
    """Start MariaDB with its system tables, which slurmdbd needs, but without authentication."""
    data = root / "database"
    system = ("mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}")
    subprocess.run([*system, "--skip-test-db"], check=True, capture_output=True)
    options = {
        "user": "root",
        "datadir": data,
        "socket": root / "database.socket",
        "pid-file": root / "database.pid",
        "log-error": root / "database.log",
        "bind-address": "127.0.0.1",
        "port": port,
        "innodb-buffer-pool-size": "64M",
        "innodb-lock-wait-timeout": 900,
        "innodb-log-file-size": "8M",
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    start("mariadbd", "--no-defaults", "--skip-grant-tables", *arguments)


def configure_daemon(root: Path, port: int, database_port: int) -> None:
    """Write the configuration of slurmdbd, which rejects a file that other users can read."""
    host = socket.gethostname().split(".")[0]
    path = root / "slurmdbd.conf"
    path.touch(0o600)
    path.write_text(
        DATABASE_DAEMON.format(root=root, host=host, port=port, database_port=database_port)
    )


def add_cluster(slurm: Callable[..., str]) -> bool:
    """Register the cluster if slurmdbd responds already; return whether it does."""
    slurm("sacctmgr", "--immediate", "add", "cluster", CLUSTER)
    return CLUSTER in slurm("sacctmgr", "--noheader", "list", "cluster")


def add_account(slurm: Callable[..., str]) -> None:
    """Create an account that the user of the tests can use."""
    slurm("sacctmgr", "--immediate", "add", "account", ACCOUNT)
    slurm("sacctmgr", "--immediate", "add", "user", "root", f"account={ACCOUNT}")
