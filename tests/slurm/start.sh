#!/usr/bin/env bash
# A Slurm of one node on loopback, from Debian's packages (apt-get install slurm-wlm munge), all of it in one folder:
#   tests/slurm/start.sh FOLDER [CPUS]      then: export SLURM_CONF=FOLDER/slurm.conf
#   tests/slurm/stop.sh FOLDER
# As root or as a user; nothing of the system is changed. What its daemons log is in FOLDER.
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
cpus=${2:-4}
here=$(hostname -s)

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

mkdir -p "$folder"/{state,spool}
chmod 0755 "$folder"
dd if=/dev/urandom of="$folder/munge.key" bs=1 count=1024 status=none
chmod 0400 "$folder/munge.key"

cat >"$folder/slurm.conf" <<END
ClusterName=loopback
SlurmctldHost=$here(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
KillWait=5
SchedulerParameters=sched_interval=2,batch_sched_delay=0
NodeName=$here NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=4096 State=UNKNOWN
PartitionName=all Nodes=$here Default=YES MaxTime=60 State=UP
END

munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
  --log-file="$folder/munged.log" --seed-file="$folder/munged.seed"
export SLURM_CONF=$folder/slurm.conf
slurmctld -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF" -N "$here"
for _ in $(seq 60); do
  [ "$(sinfo -h -o %T 2>/dev/null)" = idle ] && exit 0
  sleep 0.5
done
echo "the node does not become idle; see $folder/*.log" >&2
exit 1
