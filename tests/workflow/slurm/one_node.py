"""A real Slurm of one node in a temporary folder, with its own ports and no system files.

munged, slurmctld and slurmd read their configuration from the folder that `SLURM_CONF` names, so
that several of them, and a Slurm of the machine itself, do not interfere. The GPUs are files that
Slurm allocates as it allocates devices. Memory limits are enforced by polling, which needs no
control groups.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.workflow.slurm import accounting

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "srun", "scancel")
GPUS = 2
LOCAL_USE_MAJOR = 240
SECONDS_TO_START = 120.0
DAEMONS = ("database", "slurmdbd", "slurmctld", "slurmd")

CONF = """
ClusterName=tenant
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket,cred_expire=5
CryptoType=crypto/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.log
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
MailProg=/bin/true
MpiDefault=none
SwitchType=switch/none
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
JobCompType=jobcomp/filetxt
JobCompLoc={root}/completed.txt
SelectType=select/{select}
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,bf_interval=1,sched_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
KillWait=30
OverTimeLimit=0
EnforcePartLimits=ALL
MinJobAge=3600
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=60
{accounting}
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=32000 {gres} State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES DefaultTime=10 MaxTime=1440 PriorityTier=1 State=UP
PartitionName=gpu Nodes={host} DefaultTime=10 MaxTime=1440 PriorityTier=1 State=UP
PartitionName=urgent Nodes={host} DefaultTime=1 MaxTime=10 PriorityTier=9 State=UP
"""


def missing(accounts: bool = False) -> str:
    """Return why Slurm, or Slurm with accounting, cannot start here; empty if it can."""
    needed = (*PROGRAMS, *accounting.PROGRAMS) if accounts else PROGRAMS
    absent = [program for program in needed if which(program) is None]
    if absent:
        packages = "munge slurm-wlm" + (" slurmdbd mariadb-server" if accounts else "")
        return f"no {', '.join(absent)}: apt-get install {packages}"
    if os.geteuid() != 0:
        return "slurmd starts jobs only as root"
    return ""


def which(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


@dataclass
class Slurm:
    """The daemons of a Slurm cluster in one folder.

    Parameters
    ----------
    root
        An empty folder.
    gpus
        Number of GPUs of the node.
    accounts
        Whether slurmdbd runs, and jobs need an account.
    select
        Slurm's plugin for the selection of resources; `cons_res` supports `--gres`, but not
        `--gpus`.
    """

    root: Path
    gpus: int = GPUS
    accounts: bool = False
    select: str = "cons_tres"
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables by which Slurm's commands find this cluster."""
        path = f"{self.root / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return {"SLURM_CONF": str(self.root / "slurm.conf"), "PATH": path}

    def start(self) -> None:
        """Start the daemons and wait until the node is idle."""
        self.root.chmod(0o755)
        host = socket.gethostname().split(".")[0]
        for name in ("state", "spool"):
            (self.root / name).mkdir()
        devices = [self.root / f"gpu{number}" for number in range(self.gpus)]
        for device in devices:
            make_device(device)
        (self.root / "gres.conf").write_text(
            "".join(f"NodeName={host} Name=gpu Type=fake File={device}\n" for device in devices)
        )
        ports = free_ports(4)
        text = CONF.format(
            host=host,
            root=self.root,
            controller_port=ports[0],
            node_port=ports[1],
            gres=f"Gres=gpu:fake:{self.gpus}" if self.gpus else "",
            select=self.select,
            accounting=accounting.CONTROLLER.format(root=self.root, port=ports[2])
            if self.accounts
            else accounting.NONE,
        )
        (self.root / "slurm.conf").write_text(text)
        self.write_srun()
        self.start_munge()
        if self.accounts:
            accounting.configure_daemon(self.root, ports[2], ports[3])
            accounting.start_database(self.root, ports[3], self._run)
            self.wait(lambda: "ready" in self.log("database"), "the database did not start")
            self._run("slurmdbd", "-D")
            self.wait(lambda: accounting.add_cluster(self), "slurmdbd did not respond")
            accounting.add_account(self)
        self._run("slurmctld", "-D")
        self._run("slurmd", "-D", "-N", host)
        self.wait(
            lambda: self("sinfo", "-h", "-p", "cpu", "-o", "%t").strip() == "idle",
            "the node did not become idle",
        )

    def wait(self, condition: Callable[[], object], error: str) -> None:
        """Wait until a condition holds; on a time-out stop and raise with the daemons' logs."""
        deadline = time.monotonic() + SECONDS_TO_START
        while not condition():
            if time.monotonic() > deadline:
                self.stop()
                tails = [self.log(name)[-1500:] for name in DAEMONS]
                raise RuntimeError("\n".join([error, *tails]))
            time.sleep(0.1)

    def log(self, daemon: str) -> str:
        """Return the log of a daemon."""
        path = self.root / f"{daemon}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def write_srun(self) -> None:
        """Write an `srun` that sets `SLURM_CONF`, which Snakemake's job step drops."""
        program = self.root / "bin" / "srun"
        program.parent.mkdir()
        conf = self.root / "slurm.conf"
        program.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {which("srun")} "$@"\n')
        program.chmod(0o755)

    def start_munge(self) -> None:
        """Start the daemon that signs messages, with a new key."""
        if (self.root / "munge.key").exists():
            return
        key = self.root / "munge.key"
        key.touch(0o400)
        key.write_bytes(os.urandom(1024))
        options = {
            "socket": "munge.socket",
            "key-file": key.name,
            "pid-file": "munged.pid",
            "log-file": "munged.log",
            "seed-file": "munged.seed",
        }
        arguments = [f"--{option}={self.root / name}" for option, name in options.items()]
        self._run("munged", "--foreground", "--force", *arguments)
        while not (self.root / "munge.socket").exists():
            time.sleep(0.05)

    def stop(self) -> None:
        """Cancel the jobs and stop the daemons in reverse order of their start."""
        jobs = self.jobs()
        self(
            "scancel", *[job["JobId"] for job in jobs if job["JobState"] in ("RUNNING", "PENDING")]
        )
        for _ in range(100):
            if not self("squeue", "-h"):
                break
            time.sleep(0.1)
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def jobs(self) -> list[dict[str, str]]:
        """Return the controller's record of every job, finished ones included."""
        text = self("scontrol", "--details", "--oneliner", "show", "job")
        return [
            dict(re.findall(r"(\S+?)=(\S*)", line))
            for line in text.splitlines()
            if line.startswith("JobId=")
        ]

    def __call__(self, *command: str) -> str:
        """Run a Slurm command and return its standard output."""
        result = subprocess.run(
            command,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return result.stdout

    def _run(self, program: str, *arguments: str) -> None:
        path = which(program)
        assert path is not None, f"{program} is not installed"
        self.processes.append(
            subprocess.Popen(
                [path, *arguments],
                env=os.environ | self.environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                preexec_fn=die_with_parent,
            )
        )


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """Make Linux send a signal to this process when its parent process ends; see prctl(2)."""
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(1, number)


def be_killed_with_parent() -> None:
    """Like `die_with_parent`; for Snakemake, which waits for its jobs after SIGTERM."""
    die_with_parent(signal.SIGKILL)


def make_device(path: Path) -> None:
    """Create a character device without a driver, or a plain file where that is not permitted."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(LOCAL_USE_MAJOR, 0))
    except PermissionError:
        path.touch()


def free_ports(count: int) -> list[int]:
    """Return unused ports."""
    sockets = [socket.socket() for _ in range(count)]
    for free in sockets:
        free.bind(("127.0.0.1", 0))
    ports = [free.getsockname()[1] for free in sockets]
    for free in sockets:
        free.close()
    return ports
