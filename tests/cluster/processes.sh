#!/bin/sh
# What tests/cluster does to a cluster on this machine whose parts are processes with pid files and whose kubeconfig lies
# beside them: MILLRACE_CLUSTER="tests/cluster/processes.sh FOLDER UP", where FOLDER has kubeconfig and run/PART.pid, and UP
# is the program that starts what does not run.
set -eu
folder=$1 up=$2; shift 2
case "$*" in
kubeconfig) echo "$folder/kubeconfig" ;;
"kubelet stop") kill -KILL "$(cat "$folder/run/kubelet.pid")" ;;
"apiserver stop") kill -KILL "$(cat "$folder/run/kube-apiserver.pid")" ;;
"kubelet start"|"apiserver start") LAB=$folder "$up" >/dev/null ;;
"disk make "*) mkdir -p "$3"; mount -t tmpfs -o "size=${4}m,uid=1000,gid=1000,mode=755" tmpfs "$3" ;;
"disk remove "*) umount "$3"; rmdir "$3" ;;
*) echo "usage: processes.sh FOLDER UP kubeconfig | kubelet stop|start | apiserver stop|start | disk make FOLDER MB | disk remove FOLDER" >&2; exit 2 ;;
esac
