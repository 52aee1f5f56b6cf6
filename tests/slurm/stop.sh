#!/usr/bin/env bash
# End what tests/slurm/start.sh FOLDER has started.
set -u
export SLURM_CONF=$1/slurm.conf
scancel --user "$(id -un)" 2>/dev/null
for daemon in slurmd slurmctld munged; do
  [ -f "$1/$daemon.pid" ] && kill "$(cat "$1/$daemon.pid")" 2>/dev/null
done
true
