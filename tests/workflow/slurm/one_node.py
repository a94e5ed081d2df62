"""A real Slurm of one node, as a tenant of this machine: own folder, own ports, no system files.

munged, slurmctld and slurmd run from a temporary folder that `SLURM_CONF` names, so that
several of them, and a Slurm that the machine itself runs, do not meet. The GPUs are files that
Slurm hands out as it would hand out devices. Memory is enforced by polling, which needs no
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
    """Return why a Slurm, or one with accounting, cannot be started here; empty if it can."""
    wanted = (*PROGRAMS, *accounting.PROGRAMS) if accounts else PROGRAMS
    lacking = [program for program in wanted if which(program) is None]
    if lacking:
        packages = "munge slurm-wlm" + (" slurmdbd mariadb-server" if accounts else "")
        return f"no {', '.join(lacking)}: apt-get install {packages}"
    if os.geteuid() != 0:
        return "slurmd starts jobs as root only"
    return ""


def which(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


@dataclass
class Slurm:
    """Daemons below one folder; `start` and `stop` them.

    Parameters
    ----------
    root
        An empty folder.
    gpus
        GPUs of the node.
    accounts
        Whether slurmdbd keeps accounts, and jobs need one.
    select
        Slurm's plugin for what a job gets; `cons_res` knows `--gres`, but not `--gpus`.
    """

    root: Path
    gpus: int = GPUS
    accounts: bool = False
    select: str = "cons_tres"
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make Slurm's commands talk to this one."""
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
            "".join(f"NodeName={host} Name=gpu Type=fake File={one}\n" for one in devices)
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
            self.wait(lambda: accounting.add_cluster(self), "slurmdbd did not answer")
            accounting.add_account(self)
        self._run("slurmctld", "-D")
        self._run("slurmd", "-D", "-N", host)
        self.wait(
            lambda: self("sinfo", "-h", "-p", "cpu", "-o", "%t").strip() == "idle",
            "the node did not become idle",
        )

    def wait(self, what: Callable[[], object], complaint: str) -> None:
        """Wait until something holds, or stop all and say so with what the daemons logged."""
        deadline = time.monotonic() + SECONDS_TO_START
        while not what():
            if time.monotonic() > deadline:
                self.stop()
                tails = [self.log(name)[-1500:] for name in DAEMONS]
                raise RuntimeError("\n".join([complaint, *tails]))
            time.sleep(0.1)

    def log(self, daemon: str) -> str:
        """Return what a daemon has logged so far."""
        path = self.root / f"{daemon}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def write_srun(self) -> None:
        """Write an `srun` that knows its cluster: Snakemake's job step drops `SLURM_CONF`."""
        program = self.root / "bin" / "srun"
        program.parent.mkdir()
        conf = self.root / "slurm.conf"
        program.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {which("srun")} "$@"\n')
        program.chmod(0o755)

    def start_munge(self) -> None:
        """Start the daemon that signs messages, with a key of its own."""
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
        named = [f"--{option}={self.root / name}" for option, name in options.items()]
        self._run("munged", "--foreground", "--force", *named)
        while not (self.root / "munge.socket").exists():
            time.sleep(0.05)

    def stop(self) -> None:
        """Cancel the jobs and end the daemons, the last one started first."""
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
        """Return what the controller knows of every job, ended ones too."""
        text = self("scontrol", "--details", "--oneliner", "show", "job")
        return [
            dict(re.findall(r"(\S+?)=(\S*)", line))
            for line in text.splitlines()
            if line.startswith("JobId=")
        ]

    def __call__(self, *command: str) -> str:
        """Run one of Slurm's commands and return what it prints."""
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


def die_with_parent(by: int = signal.SIGTERM) -> None:
    """Ask Linux to end this process when the one that started it is gone, however it went."""
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(1, by)


def be_killed_with_parent() -> None:
    """See `die_with_parent`; for Snakemake, which on SIGTERM waits for jobs that never end."""
    die_with_parent(signal.SIGKILL)


def make_device(path: Path) -> None:
    """Make a character device that no driver serves, or a plain file where that is forbidden."""
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(LOCAL_USE_MAJOR, 0))
    except PermissionError:
        path.touch()


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
