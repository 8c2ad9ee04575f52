#!/bin/sh
# What tests/cluster does to the node of a kind cluster: MILLRACE_CLUSTER="tests/cluster/kind.sh [NAME]".
set -eu
name=${1:-kind}; shift
node=$name-control-plane
manifest=/etc/kubernetes/manifests/kube-apiserver.yaml
case "$*" in
kubeconfig)
  file=${TMPDIR:-/tmp}/millrace-kind-$name.kubeconfig
  (umask 077; kind get kubeconfig --name "$name" >"$file")
  echo "$file" ;;
"kubelet stop") docker exec "$node" sh -c 'systemctl kill --signal KILL kubelet; systemctl stop kubelet' ;;
"kubelet start") docker exec "$node" systemctl start kubelet ;;
# The kubelet ends and starts it as its manifest goes and comes.
"apiserver stop") docker exec "$node" mv "$manifest" /etc/kubernetes/kube-apiserver.away ;;
"apiserver start") docker exec "$node" mv /etc/kubernetes/kube-apiserver.away "$manifest" ;;
"disk make "*) docker exec "$node" sh -c "mkdir -p '$3' && mount -t tmpfs -o size=${4}m,uid=1000,gid=1000,mode=755 tmpfs '$3'" ;;
"disk remove "*) docker exec "$node" sh -c "umount '$3' && rmdir '$3'" ;;
*) echo "usage: kind.sh NAME kubeconfig | kubelet stop|start | apiserver stop|start | disk make FOLDER MB | disk remove FOLDER" >&2; exit 2 ;;
esac
