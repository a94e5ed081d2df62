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
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "srun", "scancel")
GPUS = 2
LOCAL_USE_MAJOR = 240
SECONDS_TO_START = 60.0

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
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,bf_interval=2,sched_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
KillWait=5
OverTimeLimit=0
EnforcePartLimits=ALL
MinJobAge=3600
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=60
{accounting}
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=32000 {gres} State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES DefaultTime=10 MaxTime=600 PriorityTier=1 State=UP
PartitionName=gpu Nodes={host} DefaultTime=10 MaxTime=600 PriorityTier=1 State=UP
PartitionName=urgent Nodes={host} DefaultTime=1 MaxTime=10 PriorityTier=9 State=UP
"""
NO_ACCOUNTING = "AccountingStorageType=accounting_storage/none"


def missing() -> str:
    """Return why a Slurm cannot be started here; empty if it can."""
    lacking = [program for program in PROGRAMS if which(program) is None]
    if lacking:
        return f"no {', '.join(lacking)}: apt-get install munge slurm-wlm"
    if os.geteuid() != 0:
        return "slurmd starts jobs as root only"
    return ""


def which(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


@dataclass
class Slurm:
    """Daemons below one folder; `start` and `stop` them."""

    root: Path
    gpus: int = GPUS
    accounting: str = NO_ACCOUNTING
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
        ports = free_ports(2)
        text = CONF.format(
            host=host,
            root=self.root,
            controller_port=ports[0],
            node_port=ports[1],
            gres=f"Gres=gpu:fake:{self.gpus}" if self.gpus else "",
            accounting=self.accounting,
        )
        (self.root / "slurm.conf").write_text(text)
        self.write_srun()
        self.start_munge()
        self._run("slurmctld", "-D")
        self._run("slurmd", "-D", "-N", host)
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline:
            if self("sinfo", "-h", "-p", "cpu", "-o", "%t").strip() == "idle":
                return
            time.sleep(0.2)
        logs = [(self.root / f"{name}.log") for name in ("slurmctld", "slurmd")]
        tails = [log.read_text()[-2000:] for log in logs if log.exists()]
        self.stop()
        raise RuntimeError("the node did not become idle:\n" + "\n".join(tails))

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


def die_with_parent() -> None:
    """Ask Linux to end this process when the one that started it is gone, however it went."""
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)


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
